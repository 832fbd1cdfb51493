"""Usage windows around a trial: no gap, no overlap, no tokens twice; the paid period has its own."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import pytest
from django.contrib.auth import get_user_model

from billing.models import Plan, Subscription, TokenTopUp
from billing.rules.periods import Period
from billing.subscriptions import changes, opening
from billing.subscriptions.period_end import renewal
from billing.subscriptions.staff import ending as staff_ending
from tests.billing.ledger import fresh
from tests.billing.subscriptions.trials import entitled
from tests.factories import at, make_plan, make_subscription

pytestmark = pytest.mark.django_db
START, NOW = at("2025-10-01"), at("2025-10-16 09:30:00")
MILLISECOND = timedelta(milliseconds=1)
MONTH, PERIOD = "calendar_month", "billing_period"


def windows(subscription: Subscription, since: datetime, until: datetime) -> list[Period]:
    """Each that is in force at one of the days, also at its last millisecond."""
    found = [entitled(subscription, since).window]
    while found[-1].end < until:
        assert entitled(subscription, found[-1].end - MILLISECOND).window == found[-1], "left before its end"
        found.append(entitled(subscription, found[-1].end).window)
    return found


def free_of(kind: str, quota: int | None = 100) -> Plan:
    return make_plan("free", 0, 0, is_default=True, quota_window=kind, monthly_token_quota=quota)


@pytest.mark.parametrize("days", [7, 14, 60])
@pytest.mark.parametrize(("before", "kind"), list(itertools.product([MONTH, PERIOD], repeat=2)))
@pytest.mark.parametrize("beat", ["on time", "late"])
def test_they_follow_each_other(before: str, kind: str, days: int, beat: str) -> None:
    plan = make_plan("pro", 62, 2, trial_days=days, quota_window=kind, monthly_token_quota=1000)
    subscription = make_subscription(free_of(before), at("2025-10-10"))
    changes.upgrade(subscription.account_id, plan, NOW)
    ends = NOW + timedelta(days=days)
    first = (at("2025-10-01"), at("2025-11-01")) if before == MONTH else (at("2025-10-10"), at("2025-11-10"))
    if beat == "on time":
        early = windows(subscription, NOW, ends)
        renewal.renew_due(ends)
        found = [*(w for w in early if w.start < ends), *windows(subscription, ends, ends + timedelta(days=62))]
        found = list(dict.fromkeys(found))
    else:
        found = windows(subscription, NOW, ends + timedelta(days=62))
    assert all(one.end == other.start for one, other in itertools.pairwise(found)), found
    assert found[0].start == first[0]
    assert found[0].end == (min(first[1], ends) if kind == PERIOD else first[1])
    assert (ends in [window.start for window in found]) == (kind == PERIOD), "the paid period begins a window"


def test_one_that_began_on_trial_has_no_window_before() -> None:
    """A top-up of an earlier subscription counts in no window of the trial."""
    plan = make_plan("pro", 62, 2, trial_days=14, quota_window=PERIOD, monthly_token_quota=1000)
    subscription = make_subscription(free_of(PERIOD), START)
    account = subscription.account_id
    TokenTopUp(account=subscription.account, tokens=50, starts_at=at("2025-10-05"), reason="a test").save()
    changes.upgrade(account, make_plan("low", 31, 1), START + timedelta(days=5))
    Plan.objects.update(is_default=False)
    now = at("2025-10-10")
    shown = staff_ending.preview_end(account, now, credit=False)
    staff_ending.end_now(account, now, now, shown.digest, credit=False)
    changed = changes.upgrade(account, plan, NOW)
    entitlement = entitled(changed.subscription, NOW)
    assert (entitlement.window, entitlement.quota) == (Period(NOW, at("2025-10-30 09:30:00")), 1000)


@pytest.mark.parametrize("kind", [MONTH, PERIOD])
def test_the_first_subscription_has_whole_windows_up_to_its_end(kind: str) -> None:
    make_plan("pro", 62, 2, is_default=True, trial_days=60, quota_window=kind, monthly_token_quota=1000)
    subscription = opening.get_or_open_subscription(get_user_model().objects.create_user("new").pk, NOW)
    found = windows(subscription, NOW, at("2026-01-15"))
    starts = [window.start for window in found]
    by_month = [at(f"{month}-01") for month in ("2025-10", "2025-11", "2025-12", "2026-01")]
    by_period = [NOW, *(at(f"{month}-15 09:30:00") for month in ("2025-11", "2025-12"))]
    assert starts[:4] == (by_month if kind == MONTH else by_period)


def test_from_an_unlimited_free_plan_the_trials_tokens_count_from_its_beginning() -> None:
    plan = make_plan("pro", 62, 2, trial_days=14, quota_window=PERIOD, monthly_token_quota=1000)
    subscription = make_subscription(free_of(MONTH, quota=None), START)
    changes.upgrade(subscription.account_id, plan, NOW)
    assert entitled(subscription, NOW).window == Period(NOW, at("2025-10-30 09:30:00"))


@pytest.mark.parametrize("kind", [MONTH, PERIOD])
def test_from_unlimited_to_unlimited_no_window_reaches_back(kind: str) -> None:
    plan = make_plan("pro", 62, 2, trial_days=14, quota_window=kind)
    subscription = make_subscription(free_of(kind, quota=None), START)
    changes.upgrade(subscription.account_id, plan, NOW)
    before, during = at("2025-10-01"), entitled(subscription, NOW).window
    assert during == (Period(before, at("2025-11-01")) if kind == MONTH else Period(NOW, at("2025-10-30 09:30:00")))


@pytest.mark.parametrize("kind", [MONTH, PERIOD])
def test_an_upgrade_within_leaves_the_window(kind: str) -> None:
    """Its tokens were given already; the plan that is paid for raises the quota at once."""
    plan = make_plan("pro", 62, 2, trial_days=14, quota_window=PERIOD, monthly_token_quota=1000)
    best = make_plan("best", 93, 3, quota_window=kind, monthly_token_quota=5000)
    subscription = make_subscription(free_of(MONTH), START)
    changes.upgrade(subscription.account_id, plan, NOW)
    now = NOW + timedelta(days=3)
    before = entitled(subscription, now).window
    changes.upgrade(subscription.account_id, best, now)
    entitlement = entitled(fresh(subscription), now)
    assert (entitlement.window, entitlement.quota) == (before, 5000)
    found = windows(subscription, now, at("2026-01-01"))
    assert all(one.end == other.start for one, other in itertools.pairwise(found))
