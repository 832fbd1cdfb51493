"""The dispatcher's threads: a consumer that hangs or fails holds up nobody else, and two dispatchers share the work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from billing.models import OutboxMessage
from billing.outbox.dispatcher import THREADS, Dispatcher
from tests.billing.outbox.taking import ALICE, BOB, Clock, Taker, cursor_of, failing_on, happened
from tests.billing.waiting import PATIENCE_SECONDS, until

pytestmark = pytest.mark.django_db(transaction=True)
Start = Callable[..., Dispatcher]


class Hanging:
    """Does not come back from one account's messages until it is let go."""

    def __init__(self, *accounts: int) -> None:
        self.accounts = accounts
        self.begun: list[int] = []
        self.go = threading.Event()

    def __call__(self, message: OutboxMessage) -> None:
        if message.account_id in self.accounts:
            self.begun.append(message.account_id)
            self.go.wait(PATIENCE_SECONDS)


@pytest.fixture
def start() -> Iterator[Start]:
    """Dispatchers that have ended when the test has."""
    made: list[Dispatcher] = []

    def make(clock: Clock | None = None, **takers: Taker) -> Dispatcher:
        made.append(Dispatcher(takers, clock or Clock()))
        return made[-1]

    yield make
    for each in made:
        until(lambda each=each: each.stop(0))  # type: ignore[misc]


@pytest.fixture
def hanging(start: Start) -> Iterator[Callable[..., Hanging]]:
    """Let go before their dispatchers are waited for."""
    made: list[Hanging] = []

    def make(*accounts: int) -> Hanging:
        made.append(Hanging(*accounts))
        return made[-1]

    yield make
    for each in made:
        each.go.set()


def test_all_that_is_due_is_delivered_to_everybody(start: Start) -> None:
    happened(ALICE, 1, 2)
    happened(BOB, 3)
    log, mail = Taker(), Taker()
    assert start(log=log, mail=mail).run_until_idle(PATIENCE_SECONDS)
    assert sorted(log.took) == sorted(mail.took) == [(ALICE, 1), (ALICE, 2), (BOB, 3)]


def test_what_hangs_holds_up_neither_other_consumers_nor_other_accounts(
    start: Start, hanging: Callable[..., Hanging]
) -> None:
    happened(ALICE, 1, 2)
    happened(BOB, 3)
    stuck, log = Taker(hanging(ALICE)), Taker()
    dispatcher = start(mail=stuck, log=log)

    def others_are_done() -> bool:
        dispatcher.tick()
        return stuck.took == [(BOB, 3)] and len(log.took) == 3

    until(others_are_done)
    assert stuck.tried.count((ALICE, 1)) == 1


def test_what_hangs_is_not_tried_again_beside_itself_and_goes_on_when_it_is_let_go(
    start: Start, hanging: Callable[..., Hanging]
) -> None:
    clock, hang = Clock(), hanging(ALICE)
    happened(ALICE, 1, 2)
    taker = Taker(hang)
    dispatcher = start(clock, log=taker)
    dispatcher.tick()
    until(lambda: hang.begun == [ALICE])
    clock.tick(10**6)
    assert not dispatcher.run_until_idle(0.1)
    assert taker.tried == [(ALICE, 1)]
    hang.go.set()
    assert dispatcher.run_until_idle(PATIENCE_SECONDS)
    assert taker.took == [(ALICE, 1), (ALICE, 2)]


def test_another_process_takes_over_what_hangs_once_its_lease_has_run_out(
    start: Start, hanging: Callable[..., Hanging]
) -> None:
    clock, hang = Clock(), hanging(ALICE)
    happened(ALICE, 1, 2)
    first, second = Taker(hang), Taker()
    start(clock, log=first).tick()
    until(lambda: hang.begun == [ALICE])
    other = start(clock, log=second)
    assert other.run_until_idle(PATIENCE_SECONDS)
    assert second.took == []
    clock.tick(60)
    assert other.run_until_idle(PATIENCE_SECONDS)
    assert second.took == [(ALICE, 1), (ALICE, 2)]


def test_a_process_all_of_whose_threads_hang_says_so(
    start: Start, hanging: Callable[..., Hanging], settings: object
) -> None:
    accounts = [ALICE + n for n in range(THREADS)]
    for account in accounts:
        happened(account, 1)
    hang = hanging(*accounts)
    dispatcher = start(log=Taker(hang))

    def all_hang() -> bool:
        dispatcher.tick()
        return len(hang.begun) == THREADS

    until(all_hang)
    assert dispatcher.stuck() == []
    settings.OUTBOX_LEASE_SECONDS = 0  # type: ignore[attr-defined]
    assert dispatcher.stuck() == ["log"]
    happened(BOB + 100, 2)
    assert dispatcher.tick() == 1
    assert len(dispatcher.workers) == THREADS


def test_what_fails_is_left_for_later(start: Start) -> None:
    happened(ALICE, 1, 2)
    happened(BOB, 3)
    taker = failing_on(1)
    assert start(log=taker).run_until_idle(PATIENCE_SECONDS)
    assert (taker.took, cursor_of(ALICE).attempts) == ([(BOB, 3)], 1)


def test_two_dispatchers_at_once_deliver_each_message_once_and_in_order(start: Start) -> None:
    accounts = [ALICE + n for n in range(20)]
    takers = [{"log": Taker(), "mail": Taker()} for _ in range(2)]
    dispatchers = [start(**each) for each in takers]

    def write() -> None:
        try:
            for period in range(10):
                for account in accounts:
                    happened(account, period)
        finally:
            connection.close()

    def dispatch(dispatcher: Dispatcher) -> None:
        try:
            while not written.done() or dispatcher.tick() or dispatcher.workers:
                dispatcher.tick()
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        written = pool.submit(write)
        for dispatching in [pool.submit(dispatch, each) for each in dispatchers]:
            dispatching.result()
        written.result()
    assert all(dispatcher.run_until_idle(PATIENCE_SECONDS) for dispatcher in dispatchers)
    for name in ("log", "mail"):
        for account in accounts:
            by_each = [each[name].of(account) for each in takers]
            assert all(numbers == sorted(numbers) for numbers in by_each)
            assert sorted(by_each[0] + by_each[1]) == list(range(10))


def test_once_stopped_no_further_call_begins(start: Start, hanging: Callable[..., Hanging]) -> None:
    hang = hanging(ALICE)
    happened(ALICE, 1, 2)
    taker = Taker(hang)
    dispatcher = start(log=taker)
    dispatcher.tick()
    until(lambda: hang.begun == [ALICE])
    assert not dispatcher.stop(0)
    hang.go.set()
    assert dispatcher.stop(PATIENCE_SECONDS)
    assert taker.took == [(ALICE, 1)]
    again = Taker()
    assert start(log=again).run_until_idle(PATIENCE_SECONDS)
    assert again.took == [(ALICE, 2)]
