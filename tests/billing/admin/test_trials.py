"""Staff offer trials on a plan's page, and see and change those that run."""

from __future__ import annotations

import pytest
from freezegun import freeze_time

from billing.models import Plan, Subscription
from billing.subscriptions import changes
from tests.billing.admin.test_endings import listed
from tests.billing.forms import edit_plan, form_errors
from tests.billing.ledger import fresh, invoices
from tests.billing.staff import confirm, page, shown, text_of, told
from tests.cast import Staff
from tests.factories import at, make_subscription

pytestmark = pytest.mark.django_db
NOW = "2025-10-16"


@pytest.fixture
def october(catalogue: None) -> Subscription:
    """On pro's trial since October 16th, for two weeks."""
    Plan.objects.filter(code="pro").update(trial_days=14)
    subscription = make_subscription(Plan.objects.get(code="community"), at("2025-10-01"))
    changes.upgrade(subscription.account_id, Plan.objects.get(code="pro"), at(NOW))
    return fresh(subscription)


def test_a_plan_is_offered_to_be_tried_and_its_quotes_begin_anew(superuser: Staff, catalogue: None) -> None:
    before = Plan.objects.get(code="pro")
    assert edit_plan(superuser, "pro", trial_days=14, trial_needs_payment_method="on").status_code == 302
    pro = Plan.objects.get(code="pro")
    assert (pro.trial_days, pro.trial_needs_payment_method) == (14, True)
    assert pro.priced_at > before.priced_at
    assert pro.history.latest().trial_days == 14


@pytest.mark.parametrize(
    ("code", "days", "message"),
    [
        ("pro", 366, "less than or equal to 365"),
        ("pro", -1, "greater than or equal to 0"),
        ("pro", "", "required"),
        ("community", 14, "nothing to try"),
    ],
)
def test_days_that_make_no_trial(superuser: Staff, catalogue: None, code: str, days: object, message: str) -> None:
    found = form_errors(edit_plan(superuser, code, trial_days=days))
    assert list(found) == ["trial_days"]
    assert message in str(found["trial_days"])


@freeze_time(NOW)
def test_its_page_and_the_list_say_what_it_is(superuser: Staff, october: Subscription) -> None:
    text = text_of(superuser.open(f"billing/subscription/{october.pk}/change/"))
    assert "Trial of Pro, 2025-10-16 00:00:00 to 2025-10-30 00:00:00" in text
    assert "49.00 USD" in text, "the next invoice"
    assert "Trial" in text_of(superuser.open("billing/subscription/"))
    assert listed(superuser, "trial=yes") == 1
    assert invoices(october) == [], "it costs nothing"


def test_staff_change_it_as_they_were_shown(superuser: Staff, october: Subscription) -> None:
    with freeze_time("2025-10-20"):
        form = shown(superuser, october, "starter")
        text = text_of(superuser.open(f"{page(october, 'change_plan')}?target=starter"))
        assert "2025-10-20 00:00:00 to 2025-11-20 00:00:00" in text, "a period begins"
        assert "Changed from Pro to Starter: 29.00 USD" in told(confirm(superuser, october, form))
        assert listed(superuser, "trial=yes") == 0
    assert fresh(october).trial_ends_at == at("2025-10-20")
