"""The CPU that all processes of the site take for a metered call, less what they take for the same view unmetered: as
deployed, under wrk over 16 connections, until the log has every call. Celery looks the same way beside both; what is
left is its work for metered calls. The last line is the least that any limit in Redis costs here: the unmetered view
after a bare EVALSHA of `return 1` by redis-py. PostgreSQL waits for no disk, and Redis writes no append-only file.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from statistics import median

import redis
from django.conf import settings

from billing_site.local.engines.process import wait_until
from tests.programs.bench import Row, served_urls
from tests.programs.bench.served import PATHS as SERVED
from tests.programs.bench.served import Caller, load
from tests.programs.bench.site import Site, served
from tests.programs.bench.stage import say
from usage.drain import drain

TITLE = "The whole cost of a metered call"
KINDS = ("web", "Redis", "drain", "PostgreSQL", "Celery")
GOAL_MICROSECONDS = 230
PATHS = SERVED | {"round trip": "/round-trip"}
Costs = dict[str, float]


def run(*, quick: bool) -> list[Row]:
    rounds, seconds = (2, 5) if quick else (7, 10)
    caller = Caller()
    redis.Redis.from_url(settings.REDIS_URL).script_load(served_urls.LEAST)
    found: dict[str, list[Costs]] = {name: [] for name in PATHS}
    with served() as site:
        for name in PATHS:
            _cost(site, lambda name=name: load(f"{site.url}{PATHS[name]}", caller, 3).requests, 3)  # type: ignore[misc]
        for at in range(rounds):
            say(f"round {at + 1} of {rounds}")
            for name in sorted(PATHS, reverse=at % 2 == 0):
                caller.begin_anew()
                url = f"{site.url}{PATHS[name]}"
                found[name].append(_cost(site, lambda url=url: load(url, caller, seconds).requests, seconds))  # type: ignore[misc]
    more, least = (_more(found[name], found["unmetered"]) for name in ("metered", "round trip"))
    whole = sum(more.values())
    rows = [Row(f"{kind}, more for a metered call", more[kind], "µs", note=_beside(found, kind)) for kind in KINDS]
    passed = whole <= GOAL_MICROSECONDS
    note = f"web {least['web']:,.0f}, Redis {least['Redis']:,.0f}"
    return [
        *rows,
        Row("all of it", whole, "µs", f"≤ {GOAL_MICROSECONDS} µs", None, passed),
        Row("all of it, more for a bare EVALSHA in the view", sum(least.values()), "µs", note=note),
    ]


def _more(of: list[Costs], than: list[Costs]) -> Costs:
    """What a request took more, by kind of process: the median of the rounds' differences."""
    return {kind: median(one[kind] - bare[kind] for one, bare in zip(of, than, strict=True)) for kind in KINDS}


def _beside(found: dict[str, list[Costs]], kind: str) -> str:
    metered, bare = (median(costs[kind] for costs in found[name]) for name in ("metered", "unmetered"))
    return f"{metered:,.0f} beside {bare:,.0f}"


def _cost(site: Site, requests: Callable[[], int], seconds: int) -> Costs:
    """CPU of each kind of process for a request, in microseconds, over the same time whatever is requested."""
    until = time.monotonic() + seconds + 3
    before = site.cpu_seconds()
    count = requests()
    wait_until(lambda: not drain.backlog(), 60, "the drain does not come after")
    time.sleep(max(until - time.monotonic(), 0))
    taken: Counter[str] = site.cpu_seconds()
    return {kind: (taken[kind] - before[kind]) * 1e6 / count for kind in KINDS}
