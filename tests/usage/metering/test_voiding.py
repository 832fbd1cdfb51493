"""Giving tokens back: of a call that failed, and of a charge its maker takes back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from redis.exceptions import ResponseError

from billing.models import Feature
from ratelimit import limiter
from ratelimit.store import NotExecuted, RedisUnreachable
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.outages import lose_postgres, no_redis
from tests.usage.histories import admit, in_redis, sums
from usage.drain import drain
from usage.metering import voiding
from usage.models import UsageLog
from usage.sync import outage

__all__ = ["lose_postgres"]
pytestmark = pytest.mark.django_db


def charged(customer: Customer, source: str = "track") -> UUID:
    event = admit(customer, source=source).event
    assert event is not None
    return UUID(event.charge)


def take_back(customer: Customer, event: UUID) -> None:
    voiding.void_tracked_charge(customer.caller, event, timezone.now())


class TestFailedCall:
    def test_its_tokens_come_back_and_its_standings_say_so(self, bob: Customer) -> None:
        admit(bob)
        admission = admit(bob)
        voiding.void_failed_call(admission)
        assert (admission.cost, admission.quota.used, admission.quota.remaining) == (0, 10, 490)
        assert admission.minute is not None and admission.minute.used == 2
        drain.drain()
        assert sums(bob.account) == {10}

    def test_twice_is_once(self, bob: Customer) -> None:
        admission = admit(bob)
        voiding.void_failed_call(admission)
        voiding.void_failed_call(admission)
        drain.drain()
        assert (sums(bob.account), UsageLog.objects.count()) == ({0}, 2)

    def test_what_was_not_admitted_has_nothing_to_give(self, alice: Customer) -> None:
        admission = admit(alice, "graph_query")
        voiding.void_failed_call(admission)
        assert drain.backlog() == {}

    def test_after_the_windows_end_it_goes_to_the_old_window(self, bob: Customer) -> None:
        with moved_by_hand("2031-03-31T23:59:59Z") as clock:
            admission = admit(bob)
            clock.tick(2)
            voiding.void_failed_call(admission)
            assert admission.quota.used == 0
            assert admit(bob).quota.used == 10
        drain.drain()
        rows = UsageLog.objects.order_by("charged_at", "tokens").values_list("charged_at__month", "kind", "tokens")
        assert list(rows) == [(3, "void", -10), (3, "charge", 10), (4, "charge", 10)]

    def test_without_redis_the_void_is_recorded_in_postgresql(
        self, bob: Customer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        admission = admit(bob)
        with monkeypatch.context() as gone:
            gone.setattr(limiter, "void", unreachable)
            voiding.void_failed_call(admission)
        assert (admission.cost, admission.quota.used, sums(bob.account)) == (0, 0, {0})
        drain.drain()
        assert sums(bob.account) == {0}
        assert admit(bob).quota.used == 10

    def test_when_a_call_under_a_key_gets_no_answer_it_stays_charged(
        self, bob: Customer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Redis may have counted its end, and a second time would be that of another run, which was served."""
        admission = admit(bob, idempotency_key="k", fingerprint=b"f")  # type: ignore[arg-type]
        with monkeypatch.context() as gone:
            gone.setattr(limiter, "void", unreachable)
            voiding.void_failed_call(admission)
        assert outage.breaker.attempt()
        drain.drain()
        assert sums(bob.account) == {10}


class TestOwed:
    """Voids that nobody could take are made up for when Redis is back."""

    @pytest.mark.parametrize("key", ["", "k"])
    def test_of_a_call_that_failed_while_neither_engine_answered(
        self, bob: Customer, key: str, settings: Any, lose_postgres: Any
    ) -> None:
        admission = admit(bob, idempotency_key=key, fingerprint=b"f")  # type: ignore[arg-type]
        with no_redis(settings):
            outage.breaker.trip(RedisUnreachable("gone"))
            lose_postgres()
            voiding.void_failed_call(admission)
            assert not outage.breaker.attempt()
        assert admission.event is not None
        assert in_redis(bob.account, admission.event.window_start) == 10
        assert outage.breaker.attempt()
        assert in_redis(bob.account, admission.event.window_start) == 0

    @pytest.mark.parametrize(
        ("error", "key", "kept"),
        [
            (NotExecuted("gone"), False, True),
            (NotExecuted("gone"), True, True),
            (RedisUnreachable("no answer"), False, True),
            (RedisUnreachable("no answer"), True, False),
            (ResponseError("WRONGTYPE"), False, False),
        ],
    )
    def test_what_fails_then_is_asked_again_where_that_is_safe(
        self, bob: Customer, error: Exception, key: bool, kept: bool, monkeypatch: Any, caplog: Any
    ) -> None:
        """The rest waits for its turn either way, and what is given up is named in the log."""
        admissions = [admit(bob, **({"idempotency_key": "k", "fingerprint": b"f"} if key else {})), admit(bob)]

        def fail(*_: Any, **__: Any) -> Any:
            raise error

        for admission in admissions:
            assert admission.event is not None
            voiding._owe(voiding._Owed(admission.event, admission.event.at_ms, admission.receipt))
        with monkeypatch.context() as broken:
            broken.setattr(limiter, "void", fail)
            with pytest.raises(type(error)):
                voiding.pay_what_is_owed()
        voiding.pay_what_is_owed()
        drain.drain()
        assert sums(bob.account) == {0 if kept else 10}
        assert ("of a failed call stands" in caplog.text) is not kept

    @pytest.mark.parametrize(("most", "stands"), [(1, 10), (2, 0), (3, 0)])
    def test_not_more_than_a_process_can_remember(
        self, bob: Customer, most: int, stands: int, monkeypatch: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(voiding, "MOST_OWED", most)
        for _ in range(2):
            event = admit(bob).event
            assert event is not None
            voiding._owe(voiding._Owed(event, event.at_ms, None))
        voiding.pay_what_is_owed()
        drain.drain()
        assert sums(bob.account) == {stands}
        assert ("too many wait" in caplog.text) is bool(stands)


class TestTrackedCharge:
    def test_it_is_taken_back(self, bob: Customer) -> None:
        take_back(bob, charged(bob))
        drain.drain()
        assert sums(bob.account) == {0}

    def test_once(self, bob: Customer) -> None:
        event = charged(bob)
        take_back(bob, event)
        for _ in range(2):
            with pytest.raises(voiding.AlreadyVoided):
                take_back(bob, event)
            drain.drain()

    def test_within_an_hour(self, bob: Customer) -> None:
        with moved_by_hand() as clock:
            event = charged(bob)
            clock.tick(timedelta(hours=1, milliseconds=1))
            with pytest.raises(voiding.TooLate):
                take_back(bob, event)
            clock.tick(timedelta(milliseconds=-1))
            take_back(bob, event)

    def test_its_own_only(self, bob: Customer, carol: Customer) -> None:
        for event in (charged(carol), uuid4()):
            with pytest.raises(voiding.EventNotFound):
                take_back(bob, event)

    def test_not_the_gateways(self, bob: Customer) -> None:
        with pytest.raises(voiding.NotVoidable):
            take_back(bob, charged(bob, "gateway"))

    def test_an_edited_price_changes_nothing(self, bob: Customer) -> None:
        event = charged(bob)
        Feature.objects.filter(code="trace_start").update(tokens=1)
        take_back(bob, event)
        drain.drain()
        assert sums(bob.account) == {0}


def unreachable(*_: Any, **__: Any) -> Any:
    raise RedisUnreachable("no answer")
