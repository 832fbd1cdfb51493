"""The circuit breaker: nobody waits for a Redis that has failed, and it closes when that is well and told."""

from __future__ import annotations

import os
import threading

import pytest

from ratelimit.breaker import Breaker
from ratelimit.servers.single import RedisUnreachable
from tests.billing.waiting import until

GONE = RedisUnreachable("no answer")


class Redis:
    """What the breaker probes; `well` and `recovers` are set by the test."""

    def __init__(self) -> None:
        self.well = self.recovers = True
        self.done: list[str] = []

    def probe(self) -> None:
        self.done.append("probe")
        if not self.well:
            raise GONE

    def recover(self) -> None:
        self.done.append("recover")
        if not self.recovers:
            raise GONE


@pytest.fixture
def redis() -> Redis:
    return Redis()


@pytest.fixture
def breaker(redis: Redis) -> Breaker:
    return Breaker(redis.probe, redis.recover, 0)


def test_it_closes_only_after_probe_and_recovery(redis: Redis, breaker: Breaker) -> None:
    assert not breaker.is_open
    breaker.trip(GONE)
    redis.well = False
    assert (breaker.attempt(), breaker.is_open, redis.done) == (False, True, ["probe"])
    redis.well, redis.recovers = True, False
    assert (breaker.attempt(), breaker.is_open) == (False, True)
    redis.recovers = True
    assert (breaker.attempt(), breaker.is_open) == (True, False)
    assert redis.done == ["probe", "probe", "recover", "probe", "recover", "recover"]
    assert breaker.attempt()
    assert len(redis.done) == 6, "a closed one asks nobody"


def test_what_was_decided_as_it_closed_is_told_as_well(redis: Redis) -> None:
    def recover() -> None:
        redis.recover()
        # At the second time, that is.
        redis.recovers = False

    breaker = Breaker(redis.probe, recover, 0)
    breaker.trip(GONE)
    assert (breaker.attempt(), breaker.is_open) == (False, True)
    redis.recovers = True
    breaker = Breaker(redis.probe, redis.recover, 0)
    breaker.trip(GONE)
    assert (breaker.attempt(), breaker.is_open) == (True, False)


def test_a_change_of_state_is_one_line(breaker: Breaker, redis: Redis, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        breaker.trip(GONE)
    redis.well = False
    breaker.attempt()
    redis.well = True
    for _ in range(2):
        breaker.attempt()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_one_thread_probes_and_the_others_do_not_wait(redis: Redis) -> None:
    started, may_end = threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        assert may_end.wait(30)

    breaker = Breaker(slow, redis.recover, 0)
    breaker.trip(GONE)
    prober = threading.Thread(target=breaker.attempt)
    prober.start()
    assert started.wait(30)
    assert breaker.attempt() is False
    may_end.set()
    prober.join(30)
    assert (breaker.is_open, redis.done) == (False, ["recover", "recover"])


def test_by_itself_it_closes_when_redis_is_well_again(redis: Redis) -> None:
    breaker = Breaker(redis.probe, redis.recover, 0.01)
    redis.well = False
    breaker.trip(GONE)
    until(lambda: len(redis.done) >= 3)
    assert breaker.is_open
    redis.well = True
    until(lambda: not breaker.is_open)
    until(lambda: not any(thread.name == "redis-probe" for thread in threading.enumerate()))


def test_a_forked_child_starts_closed(breaker: Breaker) -> None:
    breaker.trip(GONE)
    child = os.fork()
    if child == 0:
        try:
            os._exit(1 if breaker.is_open else 0)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
