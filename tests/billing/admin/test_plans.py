"""The admin's pages of plans: what staff edit there holds for the next call."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from billing.catalogue import plans
from billing.models import Capability, Fence, Plan
from ratelimit import keys
from ratelimit.limits import Outcome
from tests.billing.forms import edit_plan, form_errors
from tests.billing.refuses import refuses
from tests.cast import Customer, Staff, call
from tests.redis_commands import version_in_redis

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)


def press(superuser: Staff, plan: Plan, button: str) -> Any:
    return superuser.send(f"billing/plan/{plan.pk}/{button}/")


def told(superuser: Staff, plan: Plan, button: str) -> str:
    """The messages on the page that follows."""
    answer = superuser.client.post(f"/admin/billing/plan/{plan.pk}/{button}/", follow=True)
    return " ".join(str(message) for message in answer.context["messages"])


def test_the_list_says_unlimited_and_shows_price_and_subscribers(superuser: Staff, bob: Customer) -> None:
    text = superuser.open("billing/plan/").content.decode().replace("\N{NO-BREAK SPACE}", " ")
    assert "29.00 USD / month" in text
    assert "unlimited" in text
    starter = plans.with_subscribers(Plan.objects.filter(code="starter")).get()
    assert f"plan__id__exact={starter.pk}&amp;status__exact=active" in text
    assert (starter.subscribers, starter.arriving) == (1, 0)  # type: ignore[attr-defined]


def test_the_form_says_that_blank_means_unlimited(superuser: Staff, catalogue: None) -> None:
    text = superuser.open("billing/plan/add/").content.decode()
    assert text.count("Blank means unlimited; 0 means none.") == 2
    assert text.count('placeholder="unlimited"') == 2


def test_the_form_says_whom_an_edit_reaches_and_from_when(superuser: Staff, bob: Customer) -> None:
    text = superuser.open(f"billing/plan/{Plan.objects.get(code='starter').pk}/change/").content.decode()
    assert "An edit reaches 1 subscriber." in text
    assert "within a second" in text
    assert "from each subscriber's next period" in text


@committed
def test_a_quota_edited_to_nothing_refuses_the_next_call(superuser: Staff, alice: Customer) -> None:
    assert call(alice, "trace_start").admitted
    assert edit_plan(superuser, "community", monthly_token_quota=10).status_code == 302
    refused = call(alice, "trace_start")
    assert refused.decision.outcome is Outcome.REFUSED
    assert refused.quota.limit.maximum == 10


@committed
def test_a_blank_quota_is_unlimited_for_the_next_call(superuser: Staff, alice: Customer) -> None:
    edit_plan(superuser, "community", monthly_token_quota=0)
    assert not call(alice, "trace_start").admitted
    edit_plan(superuser, "community", monthly_token_quota="")
    admission = call(alice, "trace_start")
    assert admission.admitted
    assert admission.quota.limit.maximum is None


@committed
def test_a_minute_limit_holds_for_the_next_call(superuser: Staff, alice: Customer) -> None:
    assert call(alice).admitted
    edit_plan(superuser, "community", requests_per_minute=2)
    assert call(alice).admitted
    assert not call(alice).admitted
    edit_plan(superuser, "community", requests_per_minute="")
    assert call(alice).minute is None


@committed
def test_an_edit_of_nothing_but_the_capabilities_is_told_to_redis_at_once(superuser: Staff, alice: Customer) -> None:
    assert not call(alice, "graph_query").entitled
    before = Fence.objects.get(subject=0).version
    edit_plan(superuser, "community", capabilities=[Capability.objects.get(code="investigator").pk])
    fence = Fence.objects.get(subject=0)
    assert fence.version > before
    assert fence.pushed == fence.version
    assert {version_in_redis(keys.catalogue_fence(shard)) for shard in range(64)} == {fence.version}
    assert call(alice, "graph_query").admitted


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("price", "-0.01", "greater than or equal to 0"),
        ("price", "29.999", "USD has 2 decimals"),
        ("price", "NaN", "Enter a number"),
        ("price", "1e99", "no more than"),
        ("currency", "XXQ", "unknown currency"),
        ("monthly_token_quota", "-1", "greater than or equal to 0"),
        ("monthly_token_quota", str(2**60), "less than or equal to"),
        ("monthly_token_quota", "many", "whole number"),
        ("requests_per_minute", "-1", "greater than or equal to 0"),
        ("requests_per_minute", "1000001", "less than or equal to 1000000"),
        ("rank", "-1", "greater than or equal to 0"),
        ("quota_window", "week", "not one of the available choices"),
        ("capabilities", ["0"], "not one of the available choices"),
    ],
)
def test_a_wrong_value_is_named_at_its_field(
    superuser: Staff, catalogue: None, field: str, value: Any, message: str
) -> None:
    found = form_errors(edit_plan(superuser, "starter", **{field: value}))
    assert list(found) == [field]
    assert message in str(found[field])


@pytest.mark.parametrize(("price", "currency", "accepted"), [("10.5", "jpy", False), ("10.505", "kwd", True)])
def test_a_new_plan_is_priced_in_its_currencys_decimals(
    superuser: Staff, db: None, price: str, currency: str, accepted: bool
) -> None:
    fields = {"name": "Basic", "code": "basic", "rank": 5, "interval": "year", "quota_window": "calendar_month"}
    fields |= {"upgrade_mode": "prorate", "trial_days": 0}
    response = superuser.send("billing/plan/add/", **fields, price=price, currency=currency)
    assert (response.status_code == 302) is accepted
    if accepted:
        plan = Plan.objects.get(code="basic")
        assert (plan.price, plan.currency) == (Decimal(price), currency.upper())
        assert (plan.monthly_token_quota, plan.requests_per_minute) == (None, None)


def test_the_code_is_read_only_once_the_plan_exists(superuser: Staff, catalogue: None) -> None:
    edit_plan(superuser, "starter", code="renamed", is_default="on", archived_at_0="2020-01-01", archived_at_1="00:00")
    starter = Plan.objects.get(code="starter")
    assert (starter.is_default, starter.archived_at) == (False, None)


def test_currency_interval_and_quota_window_stay_once_the_plan_was_sold(superuser: Staff, bob: Customer) -> None:
    terms = {"currency": "EUR", "interval": "year", "quota_window": "billing_period"}
    edit_plan(superuser, "starter", **terms)
    edit_plan(superuser, "plus", **terms)
    assert Plan.objects.filter(**terms).values_list("code", flat=True).get() == "plus"
    assert not Plan.objects.get(code="starter").history.filter(quota_window="billing_period").exists()


def test_a_plan_can_be_archived_but_not_deleted(superuser: Staff, catalogue: None) -> None:
    plus = Plan.objects.get(code="plus")
    assert superuser.send(f"billing/plan/{plus.pk}/delete/", post="yes").status_code == 403
    deletion = {"action": "delete_selected", "_selected_action": plus.pk, "post": "yes"}
    superuser.client.post("/admin/billing/plan/", deletion)
    assert press(superuser, plus, "archive").status_code == 302
    plus.refresh_from_db()
    assert plus.archived_at is not None
    for archived, shown in (("yes", ["plus"]), ("no", ["community", "starter", "pro", "business", "enterprise"])):
        listed = superuser.open(f"billing/plan/?archived={archived}").context["cl"].result_list
        assert [plan.code for plan in listed] == shown
    press(superuser, plus, "put_on_sale")
    plus.refresh_from_db()
    assert plus.archived_at is None
    assert LogEntry.objects.filter(object_id=plus.pk).count() == 2


def test_a_button_asks_before_it_acts(superuser: Staff, catalogue: None) -> None:
    plus = Plan.objects.get(code="plus")
    text = superuser.open(f"billing/plan/{plus.pk}/archive/").content.decode()
    assert "Its subscribers keep it." in text
    plus.refresh_from_db()
    assert plus.archived_at is None


def test_what_a_default_plan_costs_is_said_before(superuser: Staff, catalogue: None) -> None:
    starter = Plan.objects.get(code="starter")
    asked = superuser.open(f"billing/plan/{starter.pk}/make_default/").content.decode()
    assert "is billed 29.00\N{NO-BREAK SPACE}USD for each month" in asked
    Plan.objects.filter(pk=starter.pk).update(price=0)
    assert "is billed" not in superuser.open(f"billing/plan/{starter.pk}/make_default/").content.decode()


def test_what_was_done_before_is_said_and_not_logged_again(superuser: Staff, catalogue: None) -> None:
    plus = Plan.objects.get(code="plus")
    for button in ("archive", "put_on_sale", "make_default"):
        said = [told(superuser, plus, button) for _ in range(2)]
        assert ["it was so before" in each for each in said] == [False, True], button
    assert LogEntry.objects.filter(object_id=plus.pk).count() == 3


def test_the_default_plan_moves_and_cannot_be_archived(superuser: Staff, catalogue: None) -> None:
    community, starter = Plan.objects.get(code="community"), Plan.objects.get(code="starter")
    assert "/archive/" not in superuser.open(f"billing/plan/{community.pk}/change/").content.decode(), "no button"
    assert "is the default" in told(superuser, community, "archive")
    press(superuser, starter, "make_default")
    assert Plan.objects.get(is_default=True) == starter
    press(superuser, community, "archive")
    assert "is archived" in told(superuser, community, "make_default")
    assert Plan.objects.get(is_default=True) == starter


@pytest.mark.parametrize("change", [plans.archive, plans.make_default])
def test_what_cannot_be_sold_so_is_refused_with_what_to_do(catalogue: None, change: Callable[..., Plan]) -> None:
    default, plus = Plan.objects.get(is_default=True), Plan.objects.get(code="plus")
    plans.archive(plus.pk, timezone.now())
    arguments = (default.pk, timezone.now()) if change is plans.archive else (plus.pk,)
    with refuses(plans.NotForSale, r"first\.|before"):
        change(*arguments)
