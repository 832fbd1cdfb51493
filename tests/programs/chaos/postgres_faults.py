"""PostgreSQL stopped or hanging, alone and together with Redis."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.programs.chaos.evidence import Allowance
from tests.programs.chaos.experiment import Lab, experiment
from tests.programs.chaos.load import Client
from tests.programs.chaos.process_faults import WAIT_SECONDS, crowd_and

COLD_CALLERS, COLD_PAUSE_SECONDS = 24, 0.1


@experiment(
    "postgres-stopped",
    "PostgreSQL stopped for 10 s and started again",
    accounts=lambda prefix: crowd_and("cold", prefix),
    stops_postgres=True,
)
def postgres_stopped(lab: Lab) -> None:
    """Warm accounts are served all the time; one that nobody knows is told at once to come back later."""
    postgres = lab.site.shut_down("postgres")
    lab.tend(1)
    cold = lab.client(lab.account("cold"), "cold")
    calls = [cold.call("risk/score") for _ in range(4)]
    lab.tend(9)
    lab.site.put_back(postgres)
    wrong = [call for call in calls if call.status != 503 or not call.retry_after or call.ended - call.began > 5]
    lab.expect(not wrong, "L5: a cold account was not told at once to come back later", list(wrong))
    lab.site.until(lambda: cold.call("risk/score").served, WAIT_SECONDS, "the cold account is not served again")


@experiment(
    "postgres-hangs",
    "PostgreSQL hangs for 8 s while 24 callers need it",
    accounts=lambda prefix: crowd_and("cold", prefix),
    stops_postgres=True,
)
def postgres_hangs(lab: Lab) -> None:
    """Warm accounts go on as if nothing were; who needs it is told after about a second, or at once."""
    stop, cold = (
        threading.Event(),
        [lab.client(lab.account("cold"), f"cold-{number}") for number in range(COLD_CALLERS)],
    )
    began = time.time()
    with hanging_postgres(lab):
        threads = [threading.Thread(target=insist, args=[client, stop], daemon=True) for client in cold]
        for thread in threads:
            thread.start()
        lab.tend(8)
        ended = time.time()
        stop.set()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    calls = [call for client in cold for call in client.calls if call.ended < ended]
    wrong = [call for call in calls if call.status != 503 or not call.retry_after or call.ended - call.began > 2]
    lab.expect(bool(calls) and not wrong, "L5: a cold account was not told soon to come back later", list(wrong))
    warm = [call for call in lab.load.calls if call.account != lab.account("cold").pk and began < call.began < ended]
    late = [call for call in warm if call.ended - call.began > 1]
    lab.expect(not late, f"L5: {len(late)} of {len(warm)} calls of warm accounts waited for PostgreSQL", list(late))
    lab.site.until(lambda: cold[0].call("risk/score").served, WAIT_SECONDS, "the cold account is not served again")


@contextlib.contextmanager
def hanging_postgres(lab: Lab) -> Iterator[None]:
    """PostgreSQL stopped with all its backends, which are sessions of their own."""
    server = lab.site.pid("postgres")
    stopped = [server, *map(int, Path(f"/proc/{server}/task/{server}/children").read_text().split())]
    signal_all(stopped, signal.SIGSTOP)
    try:
        yield
    finally:
        signal_all(stopped, signal.SIGCONT)


def signal_all(processes: list[int], number: int) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def insist(client: Client, stop: threading.Event) -> None:
    while not stop.is_set():
        client.call("risk/score")
        stop.wait(COLD_PAUSE_SECONDS)


@experiment(
    "both-engines",
    "Redis killed and PostgreSQL stopped together, for 4 s",
    Allowance(unavailable=True),
    stops_postgres=True,
)
def both_engines(lab: Lab) -> None:
    with lab.losing_redis():
        valkey = lab.site.take_out("valkey")
    postgres = lab.site.shut_down("postgres")
    lab.tend(4)
    lab.site.put_back(valkey)
    lab.tend(1)
    lab.site.put_back(postgres)


TOGETHER_SECONDS, APART_SECONDS = 3.0, 1.5


@experiment(
    "both-hang",
    "Redis and PostgreSQL hang together for 3 s, twice; Redis is back first, then PostgreSQL first",
    Allowance(unavailable=True),
    stops_postgres=True,
)
def both_hang(lab: Lab) -> None:
    for redis_first in (True, False):
        with contextlib.ExitStack() as redis, contextlib.ExitStack() as postgres:
            with lab.losing_redis():
                redis.enter_context(hanging_redis(lab))
                postgres.enter_context(hanging_postgres(lab))
            back_one_by_one(lab, redis, postgres, redis_first=redis_first)
        lab.recover()
        lab.tend(1)


@experiment(
    "hang-and-kill",
    "Redis hangs as PostgreSQL is killed, for 3 s, twice; Redis is back first, then PostgreSQL first",
    Allowance(unavailable=True),
    stops_postgres=True,
)
def hang_and_kill(lab: Lab) -> None:
    for redis_first in (True, False):
        with contextlib.ExitStack() as redis, contextlib.ExitStack() as postgres:
            with lab.losing_redis():
                redis.enter_context(hanging_redis(lab))
                postgres.callback(lab.site.put_back, lab.site.take_out("postgres"))
            back_one_by_one(lab, redis, postgres, redis_first=redis_first)
        lab.recover()
        lab.tend(1)


@experiment(
    "kill-and-hang",
    "Redis is killed as PostgreSQL hangs, for 3 s, twice; Redis is back first, then PostgreSQL first",
    Allowance(unavailable=True),
    stops_postgres=True,
)
def kill_and_hang(lab: Lab) -> None:
    for redis_first in (True, False):
        with contextlib.ExitStack() as redis, contextlib.ExitStack() as postgres:
            with lab.losing_redis():
                postgres.enter_context(hanging_postgres(lab))
                redis.callback(lab.site.put_back, lab.site.take_out("valkey"))
            back_one_by_one(lab, redis, postgres, redis_first=redis_first)
        lab.recover()
        lab.tend(1)


def back_one_by_one(
    lab: Lab, redis: contextlib.ExitStack, postgres: contextlib.ExitStack, *, redis_first: bool
) -> None:
    lab.tend(TOGETHER_SECONDS)
    for back in (redis, postgres) if redis_first else (postgres, redis):
        back.close()
        lab.tend(APART_SECONDS)


@contextlib.contextmanager
def hanging_redis(lab: Lab) -> Iterator[None]:
    server = lab.site.pid("valkey")
    signal_all([server], signal.SIGSTOP)
    try:
        yield
    finally:
        signal_all([server], signal.SIGCONT)
