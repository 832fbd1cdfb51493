"""Staff end a subscription in the admin: with its period, at once with or without a credit; and take that back."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from freezegun import freeze_time

from billing.invoicing import ledger
from billing.models import Plan, Subscription
from tests.billing.ledger import fresh
from tests.billing.staff import confirm, on_starter_since_october, page, text_of, told
from tests.cast import Staff

pytestmark = pytest.mark.django_db
CHANGELIST = "billing/subscription/"


@pytest.fixture
def october(catalogue: None) -> Subscription:
    return on_starter_since_october()


def listed(staff: Staff, query: str) -> int:
    return int(staff.open(f"{CHANGELIST}?{query}").context["cl"].result_count)


def ways(text: str) -> dict[str, dict[str, str]]:
    """What each button of the page sends, by its way."""
    hidden = re.findall(r'<input type="hidden" name="(way|shown_at|digest)" value="([^"]*)">', text)
    forms = [dict(hidden[first : first + 3]) for first in range(0, len(hidden), 3)]
    return {form["way"]: form for form in forms}


@freeze_time("2025-10-16")
def test_each_way_is_shown_with_what_it_bills(superuser: Staff, october: Subscription) -> None:
    text = text_of(superuser.open(page(october, "end")))
    assert set(ways(text)) == {"with_period", "now", "now_with_credit"}
    assert "Everything stays until 2025-11-01 00:00:00 UTC" in text
    assert "End it now, credit 14.97 USD" in text
    assert "Unused time on Starter" in text
    assert "Community follows" in text
    assert (fresh(october).is_live, Subscription.objects.count()) == (True, 1), "looking changes nothing"


def test_with_its_period_and_back(superuser: Staff, october: Subscription) -> None:
    with freeze_time("2025-10-16"):
        form = ways(text_of(superuser.open(page(october, "end"))))["with_period"]
        assert "ends at 2025-11-01 00:00:00 UTC" in told(confirm(superuser, october, form, "end"))
        assert fresh(october).cancel_at is not None
        assert "Ending" in text_of(superuser.open(CHANGELIST))
        assert listed(superuser, "ending=yes") == 1
        answer = confirm(superuser, october, {"_form_submitted": "True"}, "take_back")
        assert "Cancellation taken back" in told(answer)
        assert fresh(october).cancel_at is None
        assert listed(superuser, "ending=yes") == 0
        answer = confirm(superuser, october, {"_form_submitted": "True"}, "take_back")
        assert "No change is scheduled" in told(answer)
    assert LogEntry.objects.count() == 2


@pytest.mark.parametrize(("way", "balance"), [("now", 0), ("now_with_credit", Decimal("14.97"))])
def test_at_once(superuser: Staff, october: Subscription, way: str, balance: Decimal) -> None:
    with freeze_time("2025-10-16"):
        form = ways(text_of(superuser.open(page(october, "end"))))[way]
        answer = confirm(superuser, october, form, "end")
        assert "Ended at once" in told(answer)
        assert "Community follows" in told(answer)
        assert "Canceled" in text_of(superuser.open(CHANGELIST))
        assert (listed(superuser, "status__exact=canceled"), listed(superuser, "status__exact=active")) == (1, 1)
        assert superuser.open(page(october, "end")).status_code == 404, "it has ended"
    assert fresh(october).status == "canceled"
    assert ledger.balance(october.account_id, "USD") == balance
    assert LogEntry.objects.get().get_change_message().startswith("Ended at once")


def test_what_was_changed_since_is_shown_anew(superuser: Staff, october: Subscription) -> None:
    with freeze_time("2025-10-16 12:00"):
        form = ways(text_of(superuser.open(page(october, "end"))))["now_with_credit"]
    with freeze_time("2025-10-16 12:16"):
        text = text_of(confirm(superuser, october, form, "end"))
        assert "older than 15 minutes" in text
        fresh_form = ways(text)["now_with_credit"]
        for wrong in (fresh_form | {"digest": "0"}, fresh_form | {"shown_at": "soon"}, {"way": "now"}, {}):
            assert confirm(superuser, october, wrong, "end").status_code == 200
        assert fresh(october).is_live
        assert "Ended at once" in told(confirm(superuser, october, fresh_form, "end"))


def test_the_default_plan_is_not_ended(superuser: Staff, catalogue: None) -> None:
    with freeze_time("2025-10-01"):
        subscription = on_starter_since_october()
        Subscription.objects.update(plan=Plan.objects.get(code="community"))
        answer = superuser.client.get(f"/admin/{page(subscription, 'end')}", follow=True)
    assert "nothing to cancel" in told(answer)


def test_it_takes_the_right_to_change_subscriptions(clerk: Staff, october: Subscription) -> None:
    clerk.may("billing.view_subscription")
    assert clerk.open(page(october, "end")).status_code == 403
    assert clerk.send(page(october, "end"), way="now").status_code == 403
    assert fresh(october).is_live
