"""Repairs beside calls, drains and charges without Redis: nothing is lost, nothing counted twice."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from billing.rules import ids
from tests.billing.waiting import somebody_waits_for_a_row, until
from tests.cast import Customer
from tests.usage.drifting import compared, spend, sql
from tests.usage.histories import admit, sums
from tests.usage.sync.test_shard_locks import in_thread
from usage.drain import drain
from usage.log import store as log_store
from usage.log import sums as log_sums
from usage.log.events import Event
from usage.metering import voiding
from usage.metering.admission import Admission
from usage.models import UsageLog

pytestmark = pytest.mark.django_db(transaction=True)


def test_under_traffic_there_is_no_drift_and_repairs_hurt_nobody(erin: Customer, dave: Customer) -> None:
    """Calls, voids, drains, charges without Redis and two reconciliations with repair, all at once."""
    stop, found = threading.Event(), list[str]()

    def call(customer: Customer) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            admission = admit(customer)
            if number % 3 == 0:
                voiding.void_failed_call(admission)
            if number % 7 == 0:
                log_store.record_without_redis([another(admission)])

    def drain_on() -> None:
        while not stop.is_set():
            drain.drain()

    def check() -> None:
        for _ in range(6):
            found.extend(str(drift) for drift in compared(repairing=True)[0])

    workers = [in_thread(partial(call, customer)) for customer in (erin, dave, erin)] + [in_thread(drain_on)]
    checkers = [in_thread(check), in_thread(check)]
    for checker in checkers:
        checker.join()
    stop.set()
    for worker in workers:
        worker.join()
    drain.drain()
    assert found == []
    found_after, report = compared()
    assert (found_after, report.accounts) == ([], 2)
    assert UsageLog.objects.count() > 50


class TestRebuildingBesideOthers:
    """A charge is in the log and moves the counter a moment later, or has moved it and is not committed yet."""

    def test_it_waits_for_a_row_that_another_transaction_has_moved(self, bob: Customer) -> None:
        spend(bob, 2)
        event = another(admit(bob))
        drain.drain()
        sql("UPDATE usage_windowusage SET tokens = 99")
        sql("UPDATE usage_dailyusage SET tokens = 98")
        with transaction.atomic():
            log_store.record_without_redis([event])
            repairing = in_thread(lambda: compared(repairing=True))
            until(somebody_waits_for_a_row)
        repairing.join()
        assert sums(bob.account) == {40}

    def test_what_is_not_committed_yet_is_added_later(self, bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        spend(bob, 2)
        event = another(admit(bob))
        drain.drain()
        sql("UPDATE usage_windowusage SET tokens = 99")
        sql("UPDATE usage_dailyusage SET tokens = 98")
        inserted, repaired, move = threading.Event(), threading.Event(), log_sums.move

        def move_later(*arguments: Any) -> None:
            inserted.set()
            assert repaired.wait(60)
            move(*arguments)

        monkeypatch.setattr(log_sums, "move", move_later)
        recording = in_thread(lambda: log_store.record_without_redis([event]))
        assert inserted.wait(60)
        compared(repairing=True)
        assert sums(bob.account) == {30}
        repaired.set()
        recording.join()
        assert sums(bob.account) == {40}


def another(admission: Admission) -> Event:
    """A charge like that one, which Redis has not seen."""
    assert admission.event is not None
    return admission.event._replace(charge=ids.mint(admission.event.charged_at_ms))
