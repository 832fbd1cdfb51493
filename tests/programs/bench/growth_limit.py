"""One decision on a full minute: the limit is 10, then 10,000 in any 60 seconds, and the ring in Redis as long.

The clock is the benchmark's: it moves on so that with every call one call leaves the minute, as under steady load.
"""

from __future__ import annotations

import time

from ratelimit import counters, limiter
from ratelimit.keys import AccountKeys
from ratelimit.limiter import Versions
from ratelimit.limits import Decision, Limit, Outcome, Take
from ratelimit.store import client, store
from tests.programs.bench import Row, at_most
from tests.programs.bench.rounds import Contestant, measure, timing
from tests.programs.bench.stage import say

TITLE = "Growth: the limit"
MINUTE_MS = 60_000
VERSIONS = Versions(b"1", b"1")


class Steady:
    """An account that makes its plan's limit of calls in every minute."""

    def __init__(self, account: int, limit: int) -> None:
        self.keys = AccountKeys(account)
        tokens = Limit("quota", None, 2 * MINUTE_MS, time.time_ns() // 1_000_000)
        self.asked = limiter.AdmitCommand(self.keys, VERSIONS, [Limit("minute", limit, MINUTE_MS), tokens])
        self.step_ms = MINUTE_MS // limit
        self.now_ms = time.time_ns() // 1_000_000
        counters.publish(store(), self.keys, VERSIONS, [])
        for _ in range(limit + 1):
            self.call()

    def call(self) -> None:
        self.now_ms += self.step_ms
        decision = limiter.admit(store(), self.asked, Take(1), charged_at_ms=self.now_ms, event="", now_ms=self.now_ms)
        assert isinstance(decision, Decision) and decision.outcome is Outcome.ADMITTED


def run(*, quick: bool) -> list[Row]:
    limits = (10, 100, 1_000, 10_000)
    say("filling the minutes")
    client().flushall()  # the catalogue has a version there that nothing here goes by
    accounts = {str(limit): Steady(1 + n, limit) for n, limit in enumerate(limits)}
    contestants = {name: Contestant(account.call, lambda: None) for name, account in accounts.items()}
    medians = measure(contestants, 10 if quick else 60, 100)
    smallest = timing(medians["10"])
    rows = [Row("10 a minute", smallest.us, "µs", note=smallest.spread)]
    for limit in limits[1:]:
        found = timing(medians[str(limit)])
        rows.append(
            at_most(
                f"{limit:,} a minute",
                found.us,
                "µs",
                times=1.2,
                of=smallest.us,
                what="10 a minute",
                note=found.spread,
            )
        )
    return rows
