"""The drain empties streams into PostgreSQL; then a bare COPY, one statement, writes the same rows in the same order.

The bare table is partitioned, keyed and indexed as the log is, and both are empty at the start of every round. Beside
inserting, the drain reads and checks each event, keeps three sums, commits by batches, of which it makes two at once,
and acknowledges.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median

from django.conf import settings
from django.db import connection, connections

from billing.rules import ids
from billing.rules.periods import Period, month_window
from ratelimit import process_state
from ratelimit.keys import shard_of, stream
from ratelimit.store import client
from tests.programs.bench import Row, at_least
from tests.programs.bench.stage import say
from usage.drain import drain
from usage.log import events
from usage.log.events import Event
from usage.log.months import partitions
from usage.management.commands.drain_usage import collect_garbage_rarely

TITLE = "Drain"
ACCOUNTS_A_SHARD = 15
FULL = (5_000, 16)
"""Events a shard and shards: every batch is of one or two."""
SPREAD = (1_500, 64)
FEATURES = ("trace_start", "graph_query", "risk_score", "wallet_scan")
SUMS = ("usage_windowusage", "usage_featureusage", "usage_dailyusage")
BARE = "bare_log"
LEAST = 80_000
"""Rows a second where every event is of another account."""


def run(*, quick: bool) -> list[Row]:
    now = datetime.now(UTC)
    collect_garbage_rarely()
    partitions.ensure_ahead(now)
    make_bare_table(month_window(now))
    rounds = 1 if quick else 6
    rates = [_round(FULL, ACCOUNTS_A_SHARD, now, turn) for turn in range(rounds)]
    spread, crowd = (
        median(_round(shape, accounts, now, turn)[0] for turn in range(1 if quick else 2))
        for shape, accounts in ((SPREAD, ACCOUNTS_A_SHARD), (FULL, FULL[0]))
    )
    again = [_round_again(now, turn) for turn in range(1 if quick else 2)]
    two = [_round_of_two(now, turn) for turn in range(1 if quick else 3)]
    copied = median(copy for _, copy in rates)
    ratio = median(drain / copy for drain, copy in rates)
    return [
        Row("a bare COPY of the same rows", copied, "rows/s"),
        at_least("the drain", ratio * copied, "rows/s", times=0.5, of=copied, what="the bare COPY"),
        Row("the drain, fewer events in each of all shards", spread, "rows/s"),
        Row("the drain, every event of another account", crowd, "rows/s", f"≥ {LEAST:,}", None, crowd >= LEAST),
        Row("… of one that has called before", median(again), "rows/s"),
        Row("two drains, every event of another account", median(two), "rows/s"),
    ]


def _round(shape: tuple[int, int], accounts_a_shard: int, now: datetime, turn: int) -> tuple[float, float]:
    """Rows a second: of the drain, and of a bare COPY of what it wrote."""
    events_a_shard, shards = shape[0], range(shape[1])
    truncate("usage_usagelog", *SUMS, BARE)
    _fill(shards, events_a_shard, accounts_a_shard, now, random.Random(turn))
    rows = len(shards) * events_a_shard
    drain_seconds = seconds(lambda: drain.drain(shards))
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY (SELECT * FROM usage_usagelog_{now:%Y_%m}) TO STDOUT") as copy:
            text = b"".join(bytes(part) for part in copy)
        assert text.count(b"\n") == rows

        def bare() -> None:
            with cursor.copy(f"COPY {BARE} FROM STDIN") as copy:
                copy.write(text)

        copy_seconds = seconds(bare)
    say(f"drain {rows / drain_seconds:,.0f} rows/s, COPY {rows / copy_seconds:,.0f} rows/s")
    return rows / drain_seconds, rows / copy_seconds


def _round_again(now: datetime, turn: int) -> float:
    """Rows a second of the same accounts' next events: most sums are there, and are moved."""
    events_a_shard, shards = FULL
    truncate("usage_usagelog", *SUMS)
    for each in range(2):
        _fill(range(shards), events_a_shard, events_a_shard, now, random.Random(2 * turn + each))
        took = seconds(drain.drain)
    say(f"drain again {shards * events_a_shard / took:,.0f} rows/s")
    return shards * events_a_shard / took


def _round_of_two(now: datetime, turn: int) -> float:
    """Rows a second of two drains together, a process each; each passes over what the other holds."""
    truncate("usage_usagelog", *SUMS)
    events_a_shard, shards = FULL
    _fill(range(shards), events_a_shard, events_a_shard, now, random.Random(turn))
    connections.close_all()

    def both() -> None:
        child = os.fork()
        if not child:
            code = 1
            try:
                process_state.start_anew()
                drain.drain()
                code = 0
            finally:
                os._exit(code)
        drain.drain()
        assert os.waitpid(child, 0)[1] == 0, "the second drain failed"

    took = seconds(both)
    assert not drain.backlog()
    say(f"two drains {shards * events_a_shard / took:,.0f} rows/s")
    return shards * events_a_shard / took


def _fill(shards: range, events_a_shard: int, accounts_a_shard: int, now: datetime, chance: random.Random) -> None:
    """What the gateway's script would have left: events in the order of their time, of a few accounts each."""
    window, now_ms = month_window(now), time.time_ns() // 1_000_000
    starts, ends = (int(at.timestamp()) for at in (window.start, window.end))
    for shard in shards:
        with client().pipeline(transaction=False) as pipeline:
            for n in range(events_a_shard):
                account = settings.RATELIMIT_SHARDS * (1 + chance.randrange(accounts_a_shard)) + shard
                at_ms = now_ms - 10_000 + n
                event = Event(
                    charge=ids.mint(at_ms),
                    kind=events.CHARGE,
                    account=account,
                    window_start=starts,
                    window_end=ends,
                    feature=chance.choice(FEATURES),
                    tokens=chance.randrange(1, 12),
                    at_ms=at_ms,
                    key_prefix=f"k{account:07d}"[:8],
                )
                pipeline.xadd(stream(shard_of(account)), {"e": event.encode()})
            pipeline.execute()


def make_bare_table(month: Period) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE {BARE} (LIKE usage_usagelog INCLUDING ALL) PARTITION BY RANGE (charged_at);"
            f" CREATE TABLE {BARE}_present PARTITION OF {BARE}"
            f" FOR VALUES FROM ('{month.start.isoformat()}') TO ('{month.end.isoformat()}')"
        )


def truncate(*tables: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(tables)}")
        cursor.execute("CHECKPOINT")


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
