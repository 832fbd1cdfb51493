"""A request that was charged with and without Redis: once in the end, whichever of its runs fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.rules import ids
from billing.rules.instants import from_ms, to_ms
from ratelimit import process_state
from ratelimit.limits import Outcome
from tests.cast import Customer
from tests.outages import lost_replies, no_redis
from tests.usage.histories import MARCH, admit, sums
from tests.usage.log.keys import ACCOUNT, buy, drained, fail, held, keyed
from usage.drain import drain
from usage.log.store import store as store_log
from usage.metering import fallback_charge
from usage.metering.admission import Admission
from usage.models import IdempotencyRecord, UsageLog
from usage.reconciliation.second_charges import void_second_charges
from usage.sync import outage

pytestmark = pytest.mark.django_db
LIFE = timedelta(seconds=60)
"""LONGEST_REQUEST_SECONDS."""


class TestOneKeyOnBothSides:
    """Some processes reach Redis and others do not: in the end a request is charged once, and a failed one never."""

    @pytest.fixture(autouse=True)
    def without(self, settings: Any) -> None:
        self.settings = settings

    @contextmanager
    def another_process(self) -> Iterator[None]:
        """That has lost Redis; the one around it has not."""
        with no_redis(self.settings):
            yield
        process_state.start_anew()

    def settle_second_charges(self, call: Admission) -> None:
        assert void_second_charges(call.decided_at + LIFE - timedelta(seconds=1)) == 0
        void_second_charges(call.decided_at + LIFE + timedelta(seconds=1))

    @pytest.mark.parametrize("redis_is_back", [False, True])
    @pytest.mark.parametrize(("failing", "charged"), [("", 10), ("1", 10), ("2", 10), ("12", 0), ("21", 0)])
    def test_a_charge_by_either_side(self, bob: Customer, failing: str, charged: int, redis_is_back: bool) -> None:
        by_redis = buy(bob)
        with self.another_process():
            without = buy(bob)
        assert not without.replayed, "nobody there knew of the first"
        drain.drain()
        assert sums(bob.account) == {20}
        for run in failing:
            if run == "1" or redis_is_back:
                fail(by_redis if run == "1" else without)
            else:
                with self.another_process():
                    fail(without)
            drain.drain()
        self.settle_second_charges(without)
        assert sums(bob.account) == {charged}
        assert void_second_charges(without.decided_at + 2 * LIFE) == 0

    def test_a_call_that_began_before_the_one_that_set_the_key_free(self, bob: Customer) -> None:
        earlier = ids.mint(to_ms(timezone.now()))
        with self.another_process():
            fail(buy(bob))
        late = buy(bob)
        assert late.event is not None and late.charged
        store_log([late.event._replace(charge=earlier)])
        record = IdempotencyRecord.objects.get()
        assert (str(record.event_id), record.others, record.released) == (earlier, [], False)

    def test_a_rerun_elsewhere_that_fails_takes_nothing_from_the_first(self, bob: Customer) -> None:
        first = buy(bob)
        drain.drain()
        later = IdempotencyRecord.objects.get()
        later.in_flight_until = first.decided_at
        later.save()
        with self.another_process():
            rerun = buy(bob)
            assert rerun.decision.outcome is Outcome.RERUN
            fail(rerun)
        drain.drain()
        assert sums(bob.account) == {10}

    @pytest.mark.parametrize("executed", [True, False])
    def test_redis_was_asked_in_vain_and_the_run_fails(self, bob: Customer, executed: bool, monkeypatch: Any) -> None:
        admit(bob)  # Redis knows the account
        with lost_replies(monkeypatch) if executed else no_redis(self.settings):
            call = buy(bob)
            assert not call.by_redis
            fail(call)
        assert outage.breaker.attempt()
        drain.drain()
        assert sums(bob.account) == {10}
        assert buy(bob).charged
        drain.drain()
        assert sums(bob.account) == {20}

    def test_what_was_refused_elsewhere_is_served_to_nobody(self, bob: Customer, carol: Customer) -> None:
        """Redis had charged it when its answer was lost. One drain brings charges of several shards."""
        for customer in (bob, carol):
            refused = buy(customer)
            assert refused.event is not None
            fallback_charge.record_refusal(refused.event)
        drain.drain()
        for customer in (bob, carol):
            assert buy(customer).charged
        drain.drain()
        assert (sums(bob.account), sums(carol.account)) == ({10}, {10})


def test_a_second_charge_is_voided_once_and_the_earlier_one_stays() -> None:
    first, second, third = (keyed(MARCH * 1000 + at_ms) for at_ms in (5, 6, 7))
    drained(first)
    drained(second, third)
    now = from_ms(third.charged_at_ms) + LIFE
    assert [void_second_charges(now) for _ in range(2)] == [2, 0]
    assert UsageLog.objects.filter(kind="void").count() == 2
    assert (held(), sums(ACCOUNT)) == ({first.charge}, {10})


@pytest.mark.django_db(transaction=True)
def test_redis_judges_by_it_at_once(bob: Customer, settings: Any) -> None:
    """Not only when the fences are swept."""
    first = buy(bob)
    with no_redis(settings):
        buy(bob)
    process_state.start_anew()
    assert outage.breaker.attempt()
    drain.drain()
    assert bob.api.get("/api/v1/usage/current").json()["tokens_used"] == 20
    assert void_second_charges(first.decided_at + LIFE + timedelta(seconds=1)) == 1
    assert bob.api.get("/api/v1/usage/current").json()["tokens_used"] == 10
