"""A process that forks receivers of a batch and kills each at another point: before every statement, and before every
commit. After each the same batch is sent again, in another order, as a sender does that got no answer.

Takes two accounts. Prints a JSON line a point: whether it was killed, and what the second answer said. Ends after the
first point that a receiver does not reach.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import django

django.setup()

from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from billing.rules.instants import to_ms  # noqa: E402
from usage.ingest.record import ingest  # noqa: E402
from usage.ingest.reported import Reported  # noqa: E402

EVENTS = 6
NEVER = 0


def receive(batch: list[Reported], killed_at: int) -> Any:
    steps = itertools.count(1)

    def step() -> None:
        if next(steps) == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(execute: Callable[..., Any], *args: Any) -> Any:
        step()
        result = execute(*args)
        if connection.in_atomic_block:
            step()  # it may have been the last one before the commit
        return result

    with connection.execute_wrapper(statement):
        return ingest(batch, "", timezone.now())


def in_a_process(batch: list[Reported], killed_at: int) -> bool:
    """Whether it was killed."""
    child = os.fork()
    if not child:
        try:
            receive(batch, killed_at)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        sys.exit("a receiver failed")
    return os.WIFSIGNALED(status)


def main() -> None:
    accounts = [int(account) for account in sys.argv[1:]]
    for point in itertools.count(1):
        now_ms = to_ms(timezone.now())
        batch = [
            Reported(account, "", f"{point}-{n}", "trace_start", now_ms) for n in range(EVENTS) for account in accounts
        ]
        connection.close()  # nothing of it is shared with a fork
        killed = in_a_process(batch, point)
        done = receive(batch[::-1], NEVER)
        print(json.dumps({"killed": killed, "accepted": done.accepted, "duplicates": done.duplicates}), flush=True)
        if not killed:
            return


if __name__ == "__main__":
    main()
