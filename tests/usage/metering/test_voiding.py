"""Giving tokens back: of a call that failed, and of a charge its maker takes back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from billing.models import Feature
from ratelimit import limiter
from ratelimit.servers.single import RedisUnreachable
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.outages import lost_replies, no_redis
from tests.usage.histories import admit, sums
from usage.drain import drain
from usage.metering import voiding
from usage.models import UsageLog
from usage.sync import outage

pytestmark = pytest.mark.django_db


def charged(customer: Customer, source: str = "track") -> UUID:
    event = admit(customer, source=source).event
    assert event is not None
    return UUID(event.charge)


def take_back(customer: Customer, event: UUID) -> None:
    voiding.void_tracked_charge(customer.account, event, timezone.now())


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

    @pytest.mark.parametrize("executed", [True, False])
    def test_a_call_under_a_key_whose_void_gets_no_answer_is_voided_once(
        self, bob: Customer, executed: bool, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        admission = admit(bob, idempotency_key="k", fingerprint=b"f")  # type: ignore[arg-type]
        with lost_replies(monkeypatch) if executed else no_redis(settings):
            voiding.void_failed_call(admission)
        assert outage.breaker.attempt()
        drain.drain()
        assert sums(bob.account) == {0}
        again = admit(bob, idempotency_key="k", fingerprint=b"f")  # type: ignore[arg-type]
        assert (again.charged, again.quota.used) == (True, 10)


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
