"""One decision, minute and quota, by one Redis and by a cluster of three primaries; accounts of every shard in turn."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

from django.conf import settings

from billing.periods import month_window
from ratelimit import limiter
from ratelimit.cluster import Cluster
from ratelimit.keys import AccountKeys
from ratelimit.limiter import Versions
from ratelimit.limits import Decision, Limit, Outcome, Take
from ratelimit.store import Store, client, store
from tests.bench import Row, at_most
from tests.bench.rounds import Contestant, measure, timing
from tests.bench.stage import say
from tests.ratelimit.cluster import ThreeNodes
from usage import events

TITLE = "Growth: a cluster"
VERSIONS = Versions(b"1", b"1")
AUDIT = b"x" * 180
PATIENCE_SECONDS = 10


def run(*, quick: bool) -> list[Row]:
    client().flushall()  # the catalogue has a version there that nothing here goes by
    with tempfile.TemporaryDirectory() as folder:
        nodes = ThreeNodes(Path(folder))
        try:
            say("starting a cluster")
            nodes.start()
            for node in nodes.nodes:
                # As the single server: what is compared is the way there, not the disk.
                nodes.command(node, "CONFIG", "SET", "appendonly", "no")
            many = Cluster(nodes.url, PATIENCE_SECONDS)
            contestants = {"one": _decisions(store()), "cluster": _decisions(many)}
            medians = measure(contestants, 20 if quick else 100, 128)
        finally:
            nodes.stop()
    one, three = timing(medians["one"]), timing(medians["cluster"])
    return [
        Row("one server", one.us, "µs", note=one.spread),
        at_most("three primaries", three.us, "µs", times=1.2, of=one.us, what="one server", note=three.spread),
    ]


def _decisions(way: Store) -> Contestant:
    """Calls of accounts in all shards, one after the other."""
    accounts = [AccountKeys(64_000 + shard) for shard in range(settings.RATELIMIT_SHARDS)]
    for keys in accounts:
        limiter.tell(way, keys, VERSIONS, [])
    window = month_window(datetime.now(UTC))
    starts_at_ms, ends_at_ms = (round(at.timestamp() * 1000) for at in (window.start, window.end))
    minute = Limit("minute", 1_000_000, 60_000)
    quota = Limit("quota", 10**12, ends_at_ms - starts_at_ms, starts_at_ms)
    takes = [Take(minute, 1), Take(quota, 5)]
    following = cycle([limiter.Asking(keys, VERSIONS, takes) for keys in accounts])

    def call() -> None:
        now_ms = time.time_ns() // 1_000_000
        answer = limiter.admit(way, next(following), charged_at_ms=now_ms, event=events.mint(now_ms), audit=AUDIT)
        assert isinstance(answer, Decision) and answer.outcome is Outcome.ADMITTED

    return Contestant(call, lambda: None)
