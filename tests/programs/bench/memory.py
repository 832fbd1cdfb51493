"""What an idle account costs Redis, and what an account that a worker remembers costs the worker.

Redis: a fence and one window's counter each; `used_memory` after less before, and MEMORY USAGE of the two keys. Worker:
a process of its own looks up keys and reads facts as the gateway does, and its resident memory is compared.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from statistics import mean

import django

if __name__ == "__main__":
    django.setup()

from billing.entitlements import callers, snapshots
from billing.models import Plan
from billing.rules.periods import month_window
from ratelimit.keys import AccountKeys
from ratelimit.store import client, store
from tests.programs.bench import Row
from tests.programs.bench.growth_population import customers, idle_in_redis, last_month
from tests.programs.bench.stage import say

TITLE = "Memory"
MOST_BYTES, MOST_MB = 700, 120
MEGABYTE = 1_000_000


def run(*, quick: bool) -> list[Row]:
    accounts, warm = (20_000, 2_000) if quick else (100_000, 10_000)
    now = datetime.now(UTC)
    customers(1, warm, list(Plan.objects.all()), last_month(now))
    say(f"{accounts:,} accounts in Redis")
    delta, keys = _in_redis(accounts, now)
    say(f"{warm:,} accounts in a worker, then twice as many as it may remember")
    grown = _child(warm, warm)
    bounded = _child(warm, warm // 2)
    megabytes = grown["bytes"] / warm * 100_000 / MEGABYTE
    return [
        Row("Redis, an idle account", delta, "bytes", f"≤ {MOST_BYTES} bytes", None, delta <= MOST_BYTES),
        Row("of that, MEMORY USAGE of its keys", keys, "bytes"),
        Row(
            "a worker, 100,000 warm accounts",
            megabytes,
            "MB",
            f"≤ {MOST_MB} MB",
            None,
            megabytes <= MOST_MB,
            f"from {warm:,}",
        ),
        Row(
            f"accounts it remembers of {warm:,} with SNAPSHOT_CACHE_SIZE {warm // 2:,}",
            bounded["remembered"],
            "accounts",
            "the setting",
            None,
            bounded["remembered"] == warm // 2,
        ),
    ]


def _in_redis(accounts: int, now: datetime) -> tuple[float, float]:
    """Bytes an account: `used_memory` after less before, and what its keys say of themselves."""
    window, first = month_window(now), 1_000_001
    client().flushall()
    before = _used()
    idle_in_redis(store(), range(first, first + accounts), window)
    found = (_used() - before) / accounts
    starts_at_ms = round(window.start.timestamp() * 1000)
    sample = [AccountKeys(account) for account in range(first, first + 100)]
    names = [(keys.fence, keys.quota(starts_at_ms)) for keys in sample]
    return found, mean(sum(client().memory_usage(name, samples=0) or 0 for name in pair) for pair in names)


def _used() -> int:
    return int(client().info("memory")["used_memory"])


def _child(accounts: int, remembered: int) -> dict[str, int]:
    """What a worker says of itself once it has met the accounts 1 to `accounts`."""
    environ = os.environ | {"BENCH_REMEMBERED": str(remembered)}
    argv = [sys.executable, "-m", __name__, str(accounts)]
    done = subprocess.run(argv, env=environ, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


def _warm(accounts: int) -> dict[str, int]:
    remembered = int(os.environ["BENCH_REMEMBERED"])
    snapshots._accounts.size = callers._known.size = remembered
    now_ms = time.time_ns() // 1_000_000
    snapshots.snapshot(1, now_ms)
    _remember_key(1)
    gc.collect()
    before = _resident()
    for account in range(2, accounts + 1):
        snapshots.snapshot(account, now_ms).published.epoch = 1
        _remember_key(account)
    gc.collect()
    return {"bytes": _resident() - before, "remembered": len(snapshots._accounts)}


def _remember_key(account: int) -> None:
    """What `look_up` keeps of a key; the look-up itself, of a hash that is slow on purpose, leaves nothing else."""
    identity = callers.Identity(account + 0, f"k{account:07d}", "", 2, callers.NEVER)
    callers._known.remember(callers._digest(f"{account}.key"), identity)


def _resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    print(json.dumps(_warm(int(sys.argv[1]))))
