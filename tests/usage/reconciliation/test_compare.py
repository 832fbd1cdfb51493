"""What is compared: what only looks like drift is none, and only what the log still holds is judged by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ratelimit import counters, process_state, scripts
from tests.cast import Customer
from tests.conftest import forget_everything
from tests.usage.drifting import compared, held, parts, spend, sql
from tests.usage.histories import APRIL, MARCH, admit, charge
from usage.drain import drain
from usage.log import store
from usage.log import store as log_store
from usage.log.months import partitions
from usage.metering import voiding
from usage.models import WindowUsage
from usage.reconciliation import compare

pytestmark = pytest.mark.django_db
COUNTER = "counter"


class TestWhatIsNoDrift:
    def test_a_drain_that_died_before_its_acknowledgement(self, bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        def die(*_: object) -> bool:
            raise KeyboardInterrupt

        spend(bob, 1, 2)
        with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
            dying.setattr(counters, "acknowledge_head", die)
            drain.drain()
        found, report = compared()
        assert (found, report.unpublished) == ([], 1)
        drain.drain()
        assert (compared()[0], compared()[1].unpublished) == ([], 0)

    def test_told_between_the_death_of_a_drain_and_the_next(
        self, bob: Customer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def die(*_: object) -> bool:
            raise KeyboardInterrupt

        spend(bob, 1, 2)
        with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
            dying.setattr(counters, "acknowledge_head", die)
            drain.drain()
        process_state.start_anew()  # as in another process, which has to tell first
        admit(bob)
        assert compared()[0] == []
        assert compared(repairing=True)[0] == []
        drain.drain()
        assert admit(bob).quota.used == 50

    def test_what_was_recorded_without_redis_is_not_told_yet(self, bob: Customer) -> None:
        spend(bob, 1)
        event = admit(bob).event
        assert event is not None
        log_store.record_without_redis([event])
        found, report = compared()
        assert (found, report.unpublished) == ([], 1)
        drain.drain()
        assert compared()[1].unpublished == 0

    def test_a_redis_that_lost_everything_is_told_at_once_by_a_repair(self, bob: Customer) -> None:
        spend(bob, 2)
        forget_everything()
        found, report = compared()
        assert (found, report.unpublished) == ([], 1)
        assert compared(repairing=True)[1].unpublished == 1
        assert compared()[1].unpublished == 0
        assert held(bob)[b"l"] == b"20"

    def test_a_void_alone_in_the_stream(self, bob: Customer) -> None:
        admission = admit(bob)
        drain.drain()
        voiding.void_failed_call(admission)
        assert (compared()[0], held(bob)[b"p"]) == ([], b"-10")

    def test_a_window_that_redis_has_forgotten(self, bob: Customer) -> None:
        store.store([charge(bob.account)])
        kept = timedelta(milliseconds=scripts.KEPT_AFTER_WINDOW_MS)
        for after, unpublished in ((-timedelta(seconds=1), 1), (timedelta(), 0), (timedelta(seconds=1), 0)):
            _, report = compared(now=datetime.fromtimestamp(APRIL, UTC) + kept + after)
            assert (report.windows, report.unpublished, report.drifting) == (1, unpublished, 0)


class TestHowFarBack:
    def test_by_default_the_windows_begun_in_the_past_two_months(self, bob: Customer) -> None:
        store.store([charge(bob.account)])
        sql("UPDATE usage_windowusage SET tokens = 99")
        begun = datetime.fromtimestamp(MARCH, UTC)
        for days, windows in ((61, 1), (62, 1), (63, 0)):
            found, report = compared(now=begun + timedelta(days=days))
            assert (report.windows, len(found)) == (windows, windows), days
        found, report = compared(now=begun + timedelta(days=300), whole=True)
        assert (report.windows, parts(found)) == (1, {COUNTER})

    def test_windows_whose_log_has_left_are_counted_and_kept(self, bob: Customer) -> None:
        april = APRIL * 1000 + 5
        store.store([charge(bob.account), charge(bob.account, at_ms=april)])
        partitions.close(datetime.fromtimestamp(MARCH, UTC))
        sql("ALTER TABLE usage_usagelog DETACH PARTITION usage_usagelog_2031_03")
        now = datetime.fromtimestamp(APRIL, UTC) + timedelta(days=40)
        found, report = compared(now=now, whole=True, repairing=True)
        assert (found, report.left_out) == ([], 1)
        assert WindowUsage.objects.get(starts_at=datetime.fromtimestamp(MARCH, UTC)).tokens == 20

    def test_a_month_that_leaves_meanwhile_stops_it_and_nothing_is_repaired(
        self, bob: Customer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.store([charge(bob.account)])
        read = compare.read

        def retire_first(*arguments: object) -> object:
            partitions.close(datetime.fromtimestamp(MARCH, UTC))
            sql("ALTER TABLE usage_usagelog DETACH PARTITION usage_usagelog_2031_03")
            return read(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(compare, "read", retire_first)
        with pytest.raises(compare.LogShortened):
            compared(whole=True, repairing=True)
        assert WindowUsage.objects.get().tokens == 10
