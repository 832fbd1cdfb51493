"""What happened before: in the window of its time, billed with it, and counted where top-ups and thresholds are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from billing.fence import push
from billing.models import Feature, Plan, Subscription, WindowOverage
from billing.rules.periods import month_window
from billing.subscriptions.period_end import renewal
from tests.billing.ledger import assert_explained
from tests.billing.metered import assert_overage_explained, make_metered, overage_lines, use
from tests.billing.waiting import somebody_waits_for_a_row, until
from tests.cast import Customer
from tests.factories import at, make_plan, make_subscription, money
from tests.top_ups import ARRIVED, ann, clock, spent, stands, top_up
from tests.top_ups import use as call
from tests.usage.histories import sums
from tests.usage.ingest.reporting import report, reported
from usage.drain import drain
from usage.ingest import received
from usage.ingest.record import ingest
from usage.models import DailyUsage, ReceivedEvent, ThresholdCrossed, UsageLog, WindowUsage
from usage.thresholds import look

__all__ = ["ann", "clock"]
pytestmark = pytest.mark.django_db
START, MIDDLE, END, NEXT = at("2025-10-01"), at("2025-10-16"), at("2025-11-01"), at("2025-12-01")


@pytest.fixture
def subscription(catalogue: None) -> Subscription:
    """1,000 tokens a billing period, then 0.50 for each 1,000."""
    return make_subscription(make_metered(), START)


def windows(account: int) -> list[tuple[datetime, datetime, int]]:
    found = WindowUsage.objects.filter(account_id=account).order_by("starts_at")
    return list(found.values_list("starts_at", "ends_at", "tokens"))


class TestWindow:
    def test_of_its_time(self, subscription: Subscription) -> None:
        account = subscription.account_id
        use(account, 10, MIDDLE)
        renewal.renew_due(END)
        done = report(account, at("2025-11-05"), MIDDLE, END, END - timedelta(milliseconds=1))
        assert (done.accepted, done.rejected) == (3, {})
        assert windows(account) == [(START, END, 30), (END, NEXT, 10)]
        assert sums(account) == {40}
        days = DailyUsage.objects.filter(account_id=account).order_by("date").values_list("date", "calls")
        assert [(f"{date}", calls) for date, calls in days] == [("2025-10-16", 2), ("2025-10-31", 1), ("2025-11-01", 1)]
        assert {row.created_at for row in UsageLog.objects.filter(source="events")} == {at("2025-11-05")}

    def test_in_which_nothing_was_used_before(self, subscription: Subscription) -> None:
        renewal.renew_due(END)
        report(subscription.account_id, at("2025-11-05"), MIDDLE)
        assert windows(subscription.account_id) == [(START, END, 10)]

    def test_that_was_cut_short_by_a_change(self, catalogue: None) -> None:
        """From an unlimited plan to a limited one a window begins at the change."""
        subscription = make_subscription(make_plan("free", 0, 1, monthly_token_quota=None), START)
        subscription.plan = make_plan("bound", 0, 2, monthly_token_quota=100)
        subscription.former_quota_window_from, subscription.former_quota_window_until = START, MIDDLE
        subscription.save()
        report(subscription.account_id, at("2025-10-20"), at("2025-10-15T23:59:59Z"), MIDDLE, at("2025-10-19"))
        assert windows(subscription.account_id) == [(START, MIDDLE, 10), (MIDDLE, END, 20)]

    def test_of_an_account_that_was_on_another_kind_of_plan(self, catalogue: None) -> None:
        """No window of the present kind lies over one of the former."""
        calendar, periods = make_plan("calendar", 0, 1), make_plan("periods", 0, 2, quota_window="billing_period")
        subscription = make_subscription(calendar, at("2025-10-20"))
        account = subscription.account_id
        report(account, at("2025-10-25"), at("2025-10-01"))
        subscription.plan = periods
        subscription.former_quota_window_from, subscription.former_quota_window_until = END, at("2025-11-20")
        subscription.save()
        report(account, at("2025-11-22"), at("2025-10-19"), at("2025-10-31"), END, at("2025-11-19"), at("2025-11-20"))
        assert windows(account) == [
            (START, END, 30),
            (END, at("2025-11-20"), 20),
            (at("2025-11-20"), at("2025-12-20"), 10),
        ]


class TestBilled:
    def test_with_the_window_that_is_still_open(self, subscription: Subscription) -> None:
        use(subscription.account_id, 1000, MIDDLE)
        report(subscription.account_id, at("2025-10-20"), *[at("2025-10-15")] * 100)
        renewal.renew_due(END)
        assert overage_lines(subscription.account_id) == [
            ("1,000 tokens above the quota at 0.50 per 1,000", money("0.5"))
        ]

    @pytest.mark.parametrize("used", [0, 1500])
    def test_with_the_next_close_when_its_own_window_was_billed(self, subscription: Subscription, used: int) -> None:
        account = subscription.account_id
        if used:
            use(account, used, MIDDLE)
        renewal.renew_due(END)
        report(account, at("2025-11-20"), *[MIDDLE] * 200)
        renewal.renew_due(NEXT)
        late = min(used + 2000 - 1000, 2000)
        described = f"Late: {late:,} tokens above the quota of 2025-10-01 to 2025-11-01 at 0.50 per 1,000"
        assert overage_lines(account)[-1] == (described, money(late) / 2000)
        assert WindowOverage.objects.get(window_starts_at=START).used == used + 2000
        assert_overage_explained(account)
        assert_explained(subscription)

    def test_at_the_catalogues_price_of_the_day_it_is_reported(self, subscription: Subscription) -> None:
        Feature.objects.filter(code="trace_start").update(tokens=7)
        report(subscription.account_id, at("2025-10-20"), MIDDLE)
        assert sums(subscription.account_id) == {7}


class TestTopUps:
    @pytest.mark.django_db(transaction=True)
    def test_what_was_spent_of_one_that_has_lapsed_is_counted_anew(self, ann: Customer, clock: Any) -> None:
        before = timezone.now()
        top_up(ann)
        call(ann, 10)
        clock.tick(timedelta(days=3, seconds=ARRIVED))
        assert stands(ann) == (10, 110, 100)
        assert spent() == [10]
        now = timezone.now()
        late = [reported(ann.account, before + timedelta(days=1)) for _ in range(6)]
        assert ingest([*late[:2], reported(ann.account, now)], "", now).over_quota == []
        assert stands(ann) == (40, 130, 90)
        assert ingest(late, "", now).accepted == 4
        assert stands(ann) == (80, 150, 70)
        assert spent() == [50]

    @pytest.mark.django_db(transaction=True)
    def test_who_is_over_is_found_with_it(self, ann: Customer, clock: Any) -> None:
        before = timezone.now()
        top_up(ann)
        clock.tick(timedelta(days=3, seconds=ARRIVED))
        assert stands(ann) == (0, 100, 100)
        now = timezone.now()
        late = [reported(ann.account, before + timedelta(days=1)) for _ in range(5)]
        present = [reported(ann.account, now) for _ in range(11)]
        assert ingest([*late, *present[:10]], "", now).over_quota == []
        assert ingest(present, "", now).over_quota == [ann.account]
        assert stands(ann) == (160, 150, 0)

    @pytest.mark.django_db(transaction=True)
    def test_while_somebody_counts_what_was_spent(
        self, ann: Customer, clock: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """He reads the log before the event is committed, and stores what he found when it is."""
        before = timezone.now()
        top_up(ann)
        call(ann, 10)
        clock.tick(timedelta(days=3, seconds=ARRIVED))
        drain.drain()
        now, real, counting = timezone.now(), push.invalidate_counters, list[Future[object]]()

        def count() -> object:
            try:
                return stands(ann)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(1) as thread:

            def invalidate_counters(accounts: Iterable[int]) -> None:
                real(accounts)
                counting.append(thread.submit(count))
                until(somebody_waits_for_a_row)

            monkeypatch.setattr(push, "invalidate_counters", invalidate_counters)
            late = [reported(ann.account, before + timedelta(days=1)) for _ in range(2)]
            assert ingest(late, "", now).accepted == 2
        counting[0].result()
        assert stands(ann) == (30, 130, 100)
        assert spent() == [30]


class TestThresholds:
    def test_are_looked_at(self, alice: Customer) -> None:
        now = timezone.now()
        ingest([reported(alice.account, now) for _ in range(8)], "", now)
        assert look.look_at_marked(timezone.now, 5) == 1
        ingest([reported(alice.account, now) for _ in range(2)], "", now)
        assert look.look_at_marked(timezone.now, 5) == 1
        told = ThresholdCrossed.objects.filter(account=alice.user).order_by("pk")
        assert list(told.values_list("percent", "used")) == [(80, 80), (100, 100)]


@pytest.mark.django_db(transaction=True)
def test_a_plan_that_is_changed_while_they_are_recorded(
    clock: Any, customer: Callable[..., Customer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The facts that were read are of before; the event belongs to the window that began with the change."""
    account, now = customer("ann", "pro").account, timezone.now()
    changed = now.replace(microsecond=0) - timedelta(seconds=1)
    real, edits = received.remember, iter([True])

    def remember(*arguments: Any) -> set[str]:
        if next(edits, False):
            with ThreadPoolExecutor(1) as thread:
                thread.submit(change).result()
        return real(*arguments)

    def change() -> None:
        try:
            subscription = Subscription.objects.get(account=account)
            subscription.plan = Plan.objects.get(code="starter")
            subscription.former_quota_window_from = month_window(now).start
            subscription.former_quota_window_until = changed
            subscription.save()
        finally:
            connections.close_all()

    monkeypatch.setattr(received, "remember", remember)
    assert ingest([reported(account, now)], "", now).accepted == 1
    assert windows(account) == [(changed, month_window(now).end, 10)]
    assert ReceivedEvent.objects.count() == 1
