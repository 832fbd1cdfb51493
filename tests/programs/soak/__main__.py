"""python -m tests.programs.soak --charges 1000000: through the whole pipeline; exit code 1 unless they add up."""

from __future__ import annotations

import argparse
import sys
import time

from tests.programs.soak.client import Tally
from tests.programs.soak.site import Clients, Drain, engines, open_accounts

ROUNDS = 10
LOOK_EVERY_SECONDS = 0.25
DRAINED_WITHIN_SECONDS = 300.0
SETTLED_AFTER_ROUNDS = 2
"""By then every account, script and buffer has been used: from here on memory at rest has no reason to grow."""
MAY_GROW = 1.05
MARKER_BYTES = 200
"""At most, of a void's marker, which Redis keeps for two hours."""
HEADINGS = ("charges", "seconds", "rows/s", "backlog at most", "Redis at most", "Redis at rest", "drain at rest")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.programs.soak", description=__doc__)
    parser.add_argument("--charges", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=2, help="processes that charge at the same time")
    arguments = parser.parse_args()
    if arguments.charges < ROUNDS or arguments.clients < 1:
        parser.error(f"give at least {ROUNDS} charges and 1 client")
    with engines() as home:
        import django

        django.setup()
        accounts = open_accounts()
        drain, clients = Drain(home), Clients(accounts, arguments.clients)
        try:
            return soak(arguments.charges, drain, clients)
        finally:
            clients.stop()
            drain.stop()


def soak(charges: int, drain: Drain, clients: Clients) -> int:
    """Round after round: charge, wait until all of it is drained, look at the memory. Then compare what was counted."""
    from tests.programs.soak.sums import Watch, problems

    print("  ".join(f"{heading:>15}" for heading in HEADINGS), flush=True)
    watch, told, made = Watch(), Tally(), 0
    at_rest: list[tuple[int, int]] = []
    for number in range(1, ROUNDS + 1):
        began, before = time.monotonic(), told
        clients.begin(charges * number // ROUNDS - made)
        made = charges * number // ROUNDS
        backlog, redis_bytes = 0, 0
        while (tally := clients.finished()) is None:
            backlog, redis_bytes = max(backlog, watch.backlog()), max(redis_bytes, watch.redis_bytes())
            drain.resident_bytes  # noqa: B018 - raises when it has ended
            time.sleep(LOOK_EVERY_SECONDS)
        told += tally
        watch.until_drained(DRAINED_WITHIN_SECONDS)
        seconds = time.monotonic() - began
        at_rest.append((watch.redis_bytes(), drain.resident_bytes))
        rows = told.charges + told.voids - before.charges - before.voids
        print_row(told.charges, seconds, rows / seconds, backlog, redis_bytes, *at_rest[-1])
    found = [*problems(told), *grown(at_rest, told.voids * MARKER_BYTES)]
    for problem in found:
        print(f"FAILED: {problem}")
    if not found:
        print(f"{told.charges:,} charges, {told.voids:,} voids, {told.tokens:,} tokens")
        print("log, counters, Redis and clients agree")
    return 1 if found else 0


def print_row(charges: int, seconds: float, rate: float, backlog: int, *sizes: int) -> None:
    texts = [f"{charges:,}", f"{seconds:.1f}", f"{rate:,.0f}", f"{backlog:,}"]
    texts += [f"{size / 2**20:,.1f} MB" for size in sizes]
    print("  ".join(f"{text:>15}" for text in texts), flush=True)


def grown(at_rest: list[tuple[int, int]], markers_bytes: int) -> list[str]:
    """Which memory at rest is more at the end than it was once everything had been used and the markers explain."""
    settled, end = at_rest[SETTLED_AFTER_ROUNDS - 1], at_rest[-1]
    return [
        f"{name} grew from {before / 2**20:.1f} to {after / 2**20:.1f} MB"
        for name, before, after, explained in zip(("Redis", "the drain"), settled, end, (markers_bytes, 0), strict=True)
        if after > before * MAY_GROW + explained
    ]


if __name__ == "__main__":
    sys.exit(main())
