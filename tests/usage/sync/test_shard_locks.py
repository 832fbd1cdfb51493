"""One drain a shard, and no telling between its commit and its acknowledgement."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection

from billing.catalogue import in_memory
from billing.postgres.guard import guard
from ratelimit import process_state
from ratelimit.keys import AccountKeys, shard_of
from ratelimit.store import client
from tests.billing.waiting import locks, until
from tests.cast import Customer
from usage.drain import drain
from usage.drain.batch import drain_oldest
from usage.metering import admit
from usage.metering.call import ChargeRequest
from usage.sync.shard_locks import SPACE, draining, holding_off_drains

pytestmark = pytest.mark.django_db(transaction=True)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def waiting_for_a_shard() -> bool:
    return bool(locks("locktype = 'advisory' AND classid = %s AND NOT granted", SPACE))


def test_a_second_drain_leaves_the_shard_to_the_first() -> None:
    seen: list[list[int]] = []

    def try_to_drain() -> None:
        with draining([6, 7, 8]) as mine:
            seen.append(mine)

    with draining([7, 9]) as mine:
        in_thread(try_to_drain).join()
    in_thread(try_to_drain).join()
    assert (mine, seen) == ([7, 9], [[6, 8], [6, 7, 8]])


def test_tellers_share_a_shard_and_keep_drains_away() -> None:
    seen: list[bool] = []

    def tell_and_drain() -> None:
        with holding_off_drains([7]), draining([8]) as other:
            seen.append(other == [8])

    with holding_off_drains([7]), holding_off_drains([7, 9]):
        in_thread(tell_and_drain).join()
        thread = in_thread(lambda: seen.append(drain.drain_shards([7]).entries == 0))
        thread.join()
    assert seen == [True, True]


def test_a_counter_is_not_told_while_its_events_are_committed_but_still_pending(bob: Customer) -> None:
    """Told in between, the same tokens would be counted in the ledger and in what is pending."""
    charge = ChargeRequest(in_memory.catalogue().features["trace_start"])
    assert admit.admit(bob.caller, lambda _: charge).quota.used == 10
    shard, used = shard_of(bob.account), []
    with draining([shard]):
        process_state.start_anew()  # as in another process, which has to tell Redis first
        client().delete(AccountKeys(bob.account).fence)
        thread = in_thread(lambda: used.append(admit.admit(bob.caller, lambda _: charge).quota.used))
        until(waiting_for_a_shard)
        assert drain_oldest([shard]).entries == 1
    thread.join()
    assert used == [20]


@pytest.mark.parametrize("holding", [holding_off_drains, draining])
def test_a_session_that_cannot_give_a_lock_back_ends(holding: Any, settings: Any) -> None:
    """PostgreSQL is known to hang for a moment: nobody is let to it, and the connection would keep the lock."""
    settings.DATABASE_HANGS_AFTER_MS = 1000
    free: list[list[int]] = []

    def try_to_drain() -> None:
        with draining([7]) as mine:
            free.append(mine)

    with pytest.raises(OperationalError, match="hangs"), holding([7]):
        guard.is_open = True
    guard.is_open = False
    until(lambda: not locks("locktype = 'advisory' AND classid = %s", SPACE))
    in_thread(try_to_drain).join()
    assert free == [[7]]


def test_nor_does_one_keep_some_of_the_locks_that_it_did_not_all_get() -> None:
    def ask_in_vain() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '20ms'")
        with pytest.raises(OperationalError, match="lock timeout"), holding_off_drains([6, 7]):
            pass
        until(lambda: not locks("locktype = 'advisory' AND classid = %s AND objid = 6", SPACE))

    with draining([7]):
        in_thread(ask_in_vain).join()
        assert not locks("locktype = 'advisory' AND classid = %s AND objid = 6", SPACE)
