"""PostgreSQL hangs: it takes what it is sent and never answers. Nobody waits for it longer than about a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction

from billing.postgres.guard import guard, waiting_for_postgres
from tests.cast import Customer
from tests.outages import SilentPostgres, silent_postgres

__all__ = ["silent_postgres"]
DEADLINE_SECONDS = 1.0
BUSY_SECONDS = 10.0
"""What a busy machine may add; without the guard nobody would be told at all."""
FULL, HANGS = "as many calls as may wait for PostgreSQL get no answer", "PostgreSQL hangs"
GET = "/api/v1/risk/score"


def ask(statement: str = "SELECT 1") -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def seconds_until_refused(work: Callable[[], object] = ask) -> float:
    began = time.monotonic()
    with pytest.raises(OperationalError):
        work()
    return time.monotonic() - began


def why_refused(work: Callable[[], object] = ask) -> str:
    with pytest.raises(OperationalError) as refused:
        work()
    return str(refused.value)


def in_a_thread(work: Callable[[], Any]) -> Any:
    """With a connection of its own, as each thread of the web server has."""

    def apart() -> Any:
        try:
            return work()
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(apart).result()


def until_it_answers() -> None:
    deadline = time.monotonic() + 30
    while guard.is_open and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert not guard.is_open


@pytest.mark.parametrize("connected", [True, False])
def test_a_statement_and_a_new_connection_are_given_up_after_about_a_second(
    silent_postgres: SilentPostgres, connected: bool
) -> None:
    if connected:
        ask()
    silent_postgres.hang()
    assert 0.8 * DEADLINE_SECONDS < seconds_until_refused() < DEADLINE_SECONDS + BUSY_SECONDS


def test_once_it_is_known_nobody_waits_and_afterwards_everybody_asks_again(
    silent_postgres: SilentPostgres, settings: Any
) -> None:
    ask()
    silent_postgres.hang()
    seconds_until_refused()
    settings.DATABASE_HANGS_AFTER_MS = 60_000
    assert in_a_thread(seconds_until_refused) < BUSY_SECONDS
    connection.close()
    silent_postgres.resume()
    until_it_answers()
    assert ask() == 1
    assert in_a_thread(ask) == 1


def test_a_statement_that_is_merely_slow_is_waited_for(silent_postgres: SilentPostgres) -> None:
    assert ask("SELECT 7 FROM pg_sleep(2.2)") == 7
    assert not guard.is_open


def test_a_hang_within_a_transaction_leaves_a_connection_that_can_be_used_again(
    silent_postgres: SilentPostgres,
) -> None:
    def write() -> None:
        with transaction.atomic():
            ask()
            silent_postgres.hang()
            ask()

    assert seconds_until_refused(write) < DEADLINE_SECONDS + BUSY_SECONDS
    silent_postgres.resume()
    until_it_answers()
    with transaction.atomic():
        assert ask() == 1


def test_a_command_waits_as_long_as_it_takes(silent_postgres: SilentPostgres, settings: Any) -> None:
    settings.DATABASE_HANGS_AFTER_MS = 0
    ask()
    silent_postgres.hang()
    timer = threading.Timer(1.7, silent_postgres.resume)
    timer.start()
    assert ask() == 1
    assert not timer.is_alive()


def test_more_than_may_wait_are_refused_before_it_is_known_that_it_hangs(silent_postgres: SilentPostgres) -> None:
    """Of five threads two hold places, and only they wait until it is known."""
    silent_postgres.hang()
    with ThreadPoolExecutor(5) as pool:
        told = [waited.result() for waited in [pool.submit(why_refused) for _ in range(5)]]
    assert sorted(told) == [HANGS] * 2 + [FULL] * 3


def test_who_waits_for_a_lock_under_which_it_is_asked_holds_a_place_too(silent_postgres: SilentPostgres) -> None:
    lock = threading.Lock()

    def locked() -> None:
        with waiting_for_postgres(), lock:
            ask()

    silent_postgres.hang()
    with ThreadPoolExecutor(4) as pool:
        told = [waited.result() for waited in [pool.submit(why_refused, locked) for _ in range(4)]]
    assert sorted(told) == [HANGS] * 2 + [FULL] * 2


def test_more_than_may_wait_take_turns_while_it_answers(silent_postgres: SilentPostgres) -> None:
    def work() -> list[int]:
        answers = []
        for _ in range(3):
            with transaction.atomic():
                answers.append(ask("SELECT 1 FROM pg_sleep(0.02)"))
                answers.append(ask())
        connections["default"].close()
        return answers

    with ThreadPoolExecutor(8) as pool:
        answers = [done.result() for done in [pool.submit(work) for _ in range(8)]]
    assert answers == [[1] * 6] * 8
    assert guard.enter(), "every place was given back"
    guard.leave()


def test_a_warm_account_is_served_and_charged_while_a_cold_one_is_told_to_come_back(
    silent_postgres: SilentPostgres, bob: Customer, carol: Customer
) -> None:
    assert bob.api.get(GET).status_code == 200
    silent_postgres.hang()

    def cold() -> tuple[int, str | None, float]:
        began = time.monotonic()
        response = carol.api.get(GET)
        return response.status_code, response.headers.get("Retry-After"), time.monotonic() - began

    with ThreadPoolExecutor(6) as pool:
        waiting = [pool.submit(cold) for _ in range(6)]
        for _ in range(10):
            assert bob.api.get(GET).status_code == 200, "it asks PostgreSQL nothing"
        answers = [answer.result() for answer in waiting]
    assert {(status, retry_after) for status, retry_after, _ in answers} == {(503, "1")}
    assert max(seconds for *_, seconds in answers) < DEADLINE_SECONDS + BUSY_SECONDS
    silent_postgres.resume()
    until_it_answers()
    assert in_a_thread(lambda: carol.api.get(GET).status_code) == 200
    response = bob.api.get(GET)
    assert response.headers["X-RateLimit-Remaining"] == "18", "twelve calls of thirty, each counted"
