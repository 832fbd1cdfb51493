"""Tokens above the quota in the admin: what a plan needs to sell them, a customer's cap, and what was billed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from billing.models import OutboxMessage, Plan, Subscription, WindowOverage
from billing.subscriptions.period_end import renewal
from tests.billing.forms import edit_plan, form_errors, plan_form
from tests.billing.metered import make_metered, use
from tests.billing.staff import page, text_of, told
from tests.cast import Customer, Staff, call

pytestmark = pytest.mark.django_db(transaction=True)
SELLS = {"overage_price": "0.0525", "overage_cap_tokens": "5000"}


@pytest.fixture
def mia(customer: Callable[..., Customer]) -> Customer:
    make_metered(monthly_token_quota=15, overage_cap_tokens=20, overage_price=50)
    return customer("mia", "metered")


def subscription_of(customer: Customer) -> Subscription:
    return Subscription.objects.get(account=customer.user)


class TestPlanForm:
    @pytest.mark.parametrize(
        ("terms", "sentence"),
        [
            ({"quota_window": "calendar_month"}, "let the quota start anew with the billing period"),
            ({"interval": "year"}, "bill the plan every month"),
            ({"monthly_token_quota": ""}, "give the plan a quota"),
        ],
    )
    def test_it_says_in_plain_words_what_is_missing(
        self, superuser: Staff, catalogue: None, terms: dict[str, str], sentence: str
    ) -> None:
        whole = plan_form(make_metered(), code="new", **SELLS)
        assert f"{sentence}." in form_errors(superuser.send("billing/plan/add/", **whole | terms))["overage_price"][0]
        assert superuser.send("billing/plan/add/", **whole).status_code == 302
        made = Plan.objects.get(code="new")
        assert (str(made.overage_price), made.overage_cap_tokens) == ("0.0525", 5000)

    @pytest.mark.parametrize("price", ["0", "-1", "0.00001", "1000001", "NaN"])
    def test_what_is_no_price(self, superuser: Staff, catalogue: None, price: str) -> None:
        make_metered()
        assert "overage_price" in form_errors(edit_plan(superuser, "metered", overage_price=price))

    def test_an_edit_is_kept_in_the_history_and_shown_as_it_was_typed(self, superuser: Staff, catalogue: None) -> None:
        plan = make_metered()
        assert edit_plan(superuser, "metered", overage_price="0.75").status_code == 302
        assert 'value="0.75"' in text_of(superuser.open(f"billing/plan/{plan.pk}/change/"))
        assert "0.75" in text_of(superuser.open(f"billing/plan/{plan.pk}/history/"))

    def test_a_plan_that_sells_none_stays_as_it_is(self, superuser: Staff, catalogue: None) -> None:
        assert edit_plan(superuser, "starter", price="30").status_code == 302
        assert Plan.objects.get(code="starter").overage_price is None


class TestCap:
    def test_it_acts_on_the_next_call(self, superuser: Staff, mia: Customer) -> None:
        subscription = subscription_of(mia)
        assert call(mia, "trace_start").admitted
        form = text_of(superuser.open(page(subscription, "overage_cap")))
        assert "whose own cap is 20 tokens" in form
        answer = superuser.client.post(f"/admin/{page(subscription, 'overage_cap')}", {"cap_tokens": "0"}, follow=True)
        assert told(answer) == "Cap on tokens above the quota: 0."
        assert not call(mia, "trace_start").admitted
        answer = superuser.client.post(f"/admin/{page(subscription, 'overage_cap')}", {"cap_tokens": ""}, follow=True)
        assert told(answer) == "Cap on tokens above the quota: the plan's own, 20."
        assert call(mia, "trace_start").admitted
        assert LogEntry.objects.count() == OutboxMessage.objects.filter(kind="overage.cap_set").count() == 2

    @pytest.mark.parametrize("cap", ["-1", "many", "1000000000000000"])
    def test_what_is_no_cap(self, superuser: Staff, mia: Customer, cap: str) -> None:
        answer = superuser.send(page(subscription_of(mia), "overage_cap"), cap_tokens=cap)
        assert "cap_tokens" in answer.context["form"].errors

    def test_where_none_is_sold_there_is_no_button_and_no_cap(self, superuser: Staff, alice: Customer) -> None:
        subscription = subscription_of(alice)
        assert "overage_cap" not in text_of(superuser.open(f"billing/subscription/{subscription.pk}/change/"))
        answer = superuser.send(page(subscription, "overage_cap"), cap_tokens="5")
        assert "sells no tokens above the quota" in text_of(answer)

    def test_it_takes_the_right_to_change_subscriptions(self, clerk: Staff, mia: Customer) -> None:
        clerk.may("billing.view_subscription")
        assert clerk.send(page(subscription_of(mia), "overage_cap"), cap_tokens="5").status_code == 403


def test_what_was_used_and_what_was_billed(superuser: Staff, mia: Customer) -> None:
    subscription, now = subscription_of(mia), timezone.now()
    use(mia.account, 1_015, now)
    shown = text_of(superuser.open(f"billing/subscription/{subscription.pk}/change/"))
    assert "1,000 of 20 tokens at 50.00 USD per 1,000: 50.00 USD up to now" in shown
    renewal.renew_due(subscription.period_ends_at)
    listed = text_of(superuser.open("billing/windowoverage/"))
    row: Any = WindowOverage.objects.get()
    assert "mia" in listed and "50.00 USD" in listed and str(row.invoice) in listed
    assert "50.00 USD" in text_of(superuser.open(f"billing/windowoverage/{row.pk}/change/"))
    assert superuser.send(f"billing/windowoverage/{row.pk}/delete/", post="yes").status_code == 403
    assert "Overage" in text_of(superuser.open(""))


def test_ending_at_once_shows_what_is_due_for_it(superuser: Staff, mia: Customer) -> None:
    use(mia.account, 1_015, timezone.now())
    shown = text_of(superuser.open(page(subscription_of(mia), "end")))
    assert "1,000 tokens above the quota at 50.00 per 1,000" in shown
    assert not WindowOverage.objects.exists(), "looking bills nothing"


def test_a_user_who_never_called_is_deleted_with_the_windows_that_were_closed(
    superuser: Staff, customer: Callable[..., Customer]
) -> None:
    make_metered(price=0)
    mia = customer("mia", "metered")
    renewal.renew_due(subscription_of(mia).period_ends_at)
    assert WindowOverage.objects.exists()
    assert superuser.send(f"auth/user/{mia.account}/delete/", post="yes").status_code == 302
    assert not WindowOverage.objects.exists() and not Subscription.objects.exists()
