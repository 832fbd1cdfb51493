"""An outage of Redis among processes: it ends once, and not before Redis knows every account charged without it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from billing.fence import push
from billing.models import Fence
from ratelimit import process_state
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import client
from tests.billing.waiting import locks, until
from tests.cast import Customer
from tests.outages import lose_postgres, no_redis
from tests.usage.histories import admit, sums
from usage.models import RedisOutage
from usage.sync import outage
from usage.sync.outage import OutageOver, asking_redis, enter, recover, within

__all__ = ["lose_postgres"]
NOW = datetime(2031, 3, 14, tzinfo=UTC)
GONE = RedisUnreachable("no answer")


def another_process_ends_it() -> None:
    RedisOutage.objects.update(ended_at=NOW)


@pytest.mark.django_db
class TestJoining:
    def test_the_first_begins_it_and_the_others_join(self) -> None:
        for _ in range(2):
            enter(NOW)
            outage._joined = None  # as in another process
        enter(NOW)
        assert [(each.began_at, each.ended_at) for each in RedisOutage.objects.all()] == [(NOW, None)]
        with within():
            pass

    def test_whoever_comes_late_probes(self) -> None:
        """The circuit was closed while a call was on its way to an outage that nobody else is in."""
        enter(NOW)
        assert outage.breaker.is_open

    def test_nothing_is_decided_in_one_that_another_process_has_ended(self) -> None:
        enter(NOW)
        another_process_ends_it()
        with pytest.raises(OutageOver), within():
            pytest.fail("it is over")

    def test_nor_without_having_joined_one(self) -> None:
        with pytest.raises(OutageOver), within():
            pytest.fail("there is none")

    def test_after_one_that_is_over_comes_another(self) -> None:
        enter(NOW)
        another_process_ends_it()
        with pytest.raises(OutageOver), within():
            pytest.fail("it is over")
        enter(NOW)
        assert RedisOutage.objects.filter(ended_at=None).count() == 1

    def test_a_call_is_then_decided_by_redis(self, bob: Customer) -> None:
        admit(bob)
        enter(NOW)
        outage.breaker.trip(GONE)
        another_process_ends_it()
        assert admit(bob).by_redis
        assert not outage.breaker.is_open


@pytest.mark.django_db
class TestRecovery:
    def test_redis_learns_every_account_first(self, bob: Customer, settings: Any) -> None:
        before = Fence.objects.get(subject=bob.account).version
        with no_redis(settings):
            admit(bob)
        assert Fence.objects.get(subject=bob.account).version == before + 1
        recover()
        fence = Fence.objects.get(subject=bob.account)
        assert (fence.version, fence.pushed, fence.changed) == (before + 1, before + 1, before)
        held = client().get(f"{{s{bob.account % 64:02d}}}:v:{bob.account}")
        assert held == f"0{before + 1}".encode(), "announced; the account is told at its next call"
        assert RedisOutage.objects.filter(ended_at=None).count() == 0

    def test_a_server_that_takes_no_writes_is_not_well(self, bob: Customer) -> None:
        enter(NOW)
        server = client()
        server.config_set("maxmemory", 1)
        try:
            with pytest.raises(RedisUnreachable, match="maxmemory"):
                recover()
        finally:
            server.config_set("maxmemory", 0)
        assert RedisOutage.objects.filter(ended_at=None).count() == 1

    def test_while_one_process_asks_in_vain_another_goes_on(self, bob: Customer, settings: Any) -> None:
        """A partition: what the first has charged, the second learns by the sweep."""
        admit(bob)
        with no_redis(settings):
            assert not admit(bob).by_redis
        process_state.start_anew()  # the second process has lost nothing
        push.sweep()
        seen = admit(bob)
        assert (seen.by_redis, seen.quota.used) == (True, 30)


@pytest.mark.django_db
class TestRelief:
    """By the drain, which reaches Redis."""

    def fence(self, customer: Customer) -> tuple[int, int]:
        key = f"{{s{customer.account % 64:02d}}}:v:{customer.account}"
        return int(client().get(key) or 0), Fence.objects.get(subject=customer.account).version

    def test_redis_is_told_all_along(self, bob: Customer, settings: Any) -> None:
        with no_redis(settings):
            admit(bob)
        outage.end_if_abandoned(timezone.now())
        in_redis, version = self.fence(bob)
        assert in_redis == version
        assert outage.is_active()

    @pytest.mark.parametrize(("after", "is_active"), [(4.9, True), (5.0, True), (5.1, False)])
    def test_one_that_nobody_is_in_any_more_is_ended(
        self, bob: Customer, settings: Any, after: float, is_active: bool
    ) -> None:
        with no_redis(settings):
            admit(bob)
            seen_at = RedisOutage.objects.get().seen_at
        outage.end_if_abandoned(seen_at + timedelta(seconds=after))
        assert outage.is_active() is is_active

    def test_a_process_in_need_says_so(self, bob: Customer, settings: Any) -> None:
        with no_redis(settings):
            admit(bob)
            RedisOutage.objects.update(seen_at=NOW)
            assert not outage.breaker.attempt()
        assert RedisOutage.objects.get().seen_at != NOW

    def test_without_an_outage_there_is_nothing_to_do(self, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(1):
            outage.end_if_abandoned(NOW)


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_whoever_ends_it_waits_for_calls_that_are_being_decided(self, bob: Customer) -> None:
        enter(NOW)
        inside, may_end = threading.Event(), threading.Event()

        def decide() -> None:
            try:
                with within():
                    push.invalidate_counters([bob.account])
                    inside.set()
                    assert may_end.wait(60)
            finally:
                connections.close_all()

        def end() -> None:
            try:
                recover()
            finally:
                connections.close_all()

        deciding, ending = threading.Thread(target=decide), threading.Thread(target=end)
        deciding.start()
        assert inside.wait(60)
        ending.start()
        until(self._somebody_waits)
        assert RedisOutage.objects.filter(ended_at=None).count() == 1
        may_end.set()
        for thread in (deciding, ending):
            thread.join(60)
        assert RedisOutage.objects.filter(ended_at=None).count() == 0
        fence = Fence.objects.get(subject=bob.account)
        assert fence.pushed == fence.version, "the last charge is known to Redis as well"

    def _somebody_waits(self) -> bool:
        return bool(locks("locktype = 'advisory' AND NOT granted"))

    def test_without_postgresql_a_process_that_charged_nothing_closes(self, bob: Customer, lose_postgres: Any) -> None:
        assert admit(bob).by_redis
        lose_postgres()
        outage.breaker.trip(GONE)
        assert outage.breaker.attempt()

    def test_without_postgresql_a_process_that_charged_waits_for_it(
        self, bob: Customer, settings: Any, lose_postgres: Any
    ) -> None:
        with no_redis(settings):
            admit(bob)
        assert sums(bob.account) == {10}
        lose_postgres()
        assert not outage.breaker.attempt()


def test_once_open_nobody_asks() -> None:
    def ask() -> int:
        raise GONE

    with pytest.raises(RedisUnreachable):
        asking_redis(ask)
    assert outage.breaker.is_open
    with pytest.raises(RedisUnreachable, match="open"):
        asking_redis(lambda: 1)
    process_state.start_anew()
    assert asking_redis(lambda: 1) == 1
