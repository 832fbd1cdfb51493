"""One decision, minute and quota, by one Redis and by a cluster of three primaries; accounts of every shard in turn.

All are reached by TCP, write nothing to disk, have no replica and share one core. Called in turn, each
primary finds the caches of its core full of the others' code, as machines of their own would not: so one of them is
called without the others as well.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

from django.conf import settings

from billing.rules import ids
from billing.rules.periods import month_window
from billing_site.local.engines import Valkey
from ratelimit import counters, limiter
from ratelimit.keys import AccountKeys
from ratelimit.limiter import Versions
from ratelimit.limits import Decision, Limit, Outcome, Take
from ratelimit.servers.cluster import Cluster
from ratelimit.servers.single import SingleServer, Store
from tests.ports import free_port
from tests.programs.bench import Row, at_most
from tests.programs.bench.rounds import Contestant, measure, timing
from tests.programs.bench.stage import say
from tests.ratelimit.cluster import SLOTS, ThreeNodes, slot_of

TITLE = "Growth: a cluster"
VERSIONS = Versions(b"1", b"1")
AUDIT = b"x" * 180
PATIENCE_SECONDS = 10


def run(*, quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        alone, nodes = Valkey(Path(folder) / "alone", port=free_port(), durable=False), ThreeNodes(Path(folder))
        try:
            say("starting one server and a cluster")
            alone.start()
            nodes.start()
            for node in nodes.nodes:
                nodes.command(node, "CONFIG", "SET", "appendonly", "no")
            nodes.replica.stop()
            single, cluster = SingleServer(alone.url, PATIENCE_SECONDS), Cluster(nodes.url, PATIENCE_SECONDS)
            shards = range(settings.RATELIMIT_SHARDS)
            contestants = {
                "one": _decisions(single, shards),
                "cluster": _decisions(cluster, shards),
                "first": _decisions(cluster, [shard for shard in shards if slot_of(shard) < SLOTS // 3]),
            }
            medians = measure(contestants, 20 if quick else 100, 128)
        finally:
            nodes.stop()
            alone.stop()
    one, three, first = (timing(medians[name]) for name in ("one", "cluster", "first"))
    return [
        Row("one server", one.us, "µs", note=one.spread),
        at_most("three primaries in turn", three.us, "µs", times=1.2, of=one.us, what="one server", note=three.spread),
        at_most("one of the three", first.us, "µs", times=1.2, of=one.us, what="one server", note=first.spread),
    ]


def _decisions(way: Store, shards: Iterable[int]) -> Contestant:
    """Calls of accounts in these shards, one after the other."""
    accounts = [AccountKeys(64_000 + shard) for shard in shards]
    for keys in accounts:
        counters.publish(way, keys, VERSIONS, [])
    window = month_window(datetime.now(UTC))
    starts_at_ms, ends_at_ms = (round(at.timestamp() * 1000) for at in (window.start, window.end))
    minute = Limit("minute", 1_000_000, 60_000)
    quota = Limit("quota", 10**12, ends_at_ms - starts_at_ms, starts_at_ms)
    following = cycle([limiter.AdmitCommand(keys, VERSIONS, [minute, quota]) for keys in accounts])
    take = Take(requests=1, tokens=5)

    def call() -> None:
        now_ms = time.time_ns() // 1_000_000
        answer = limiter.admit(way, next(following), take, charged_at_ms=now_ms, event=ids.mint(now_ms), audit=AUDIT)
        assert isinstance(answer, Decision) and answer.outcome is Outcome.ADMITTED

    return Contestant(call, lambda: None)
