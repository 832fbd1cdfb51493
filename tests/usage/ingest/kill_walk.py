"""A process that forks receivers of a batch and kills each at another point: before every statement, and before every
commit. After each the same batch is sent again, in another order, as a sender does that got no answer.

Takes two accounts. Prints a JSON line a point: whether it was killed, and what the second answer said. Ends after the
first point that a receiver does not reach.
"""

from __future__ import annotations

import itertools
import json
import sys
from typing import Any

import django

django.setup()

from django.utils import timezone  # noqa: E402

from billing.rules.instants import to_ms  # noqa: E402
from tests.processes import NEVER, at_statements, is_killed, killing_at  # noqa: E402
from usage.ingest.record import ingest  # noqa: E402
from usage.ingest.reported import Reported  # noqa: E402

EVENTS = 6


def receive(batch: list[Reported], killed_at: int) -> Any:
    with at_statements(killing_at(killed_at)):
        return ingest(batch, "", timezone.now())


def main() -> None:
    accounts = [int(account) for account in sys.argv[1:]]
    for point in itertools.count(1):
        now_ms = to_ms(timezone.now())
        batch = [
            Reported(account, "", f"{point}-{n}", "trace_start", now_ms) for n in range(EVENTS) for account in accounts
        ]
        killed = is_killed(receive, batch, point)
        done = receive(batch[::-1], NEVER)
        print(json.dumps({"killed": killed, "accepted": done.accepted, "duplicates": done.duplicates}), flush=True)
        if not killed:
            return


if __name__ == "__main__":
    main()
