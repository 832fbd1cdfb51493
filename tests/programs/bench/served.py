"""The site as deployed, with two workers, its drain and Celery, loaded by wrk over 16 and 64 connections: the sandbox's
view outside of the metered paths and at one, in turn. Metered means key, both limits, charge and audit event. All share
the machine's cores. A ratio is the median of each round's own, since the machine's pace changes from one to the next.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.utils import timezone

from billing.models import ApiKey, Plan
from billing.subscriptions import opening
from ratelimit.keys import AccountKeys
from tests.programs.bench import Row, Skipped, at_least, at_most
from tests.programs.bench.site import served
from tests.programs.bench.stage import say

TITLE = "Served"
CONNECTIONS = (16, 64)
PATHS = {"unmetered": "/unmetered", "metered": "/api/v1/trace/start"}


class Load(NamedTuple):
    """What wrk saw in one round."""

    per_second: float
    p50_ms: float
    p99_ms: float
    requests: int


def run(*, quick: bool) -> list[Row]:
    rounds, seconds = (3, 2) if quick else (15, 2)
    caller = Caller()
    found: dict[tuple[int, str], list[Load]] = {(held, name): [] for held in CONNECTIONS for name in PATHS}
    with served() as site:
        for path in PATHS.values():
            load(f"{site.url}{path}", caller, 2)
        for at in range(rounds):
            say(f"round {at + 1} of {rounds}")
            for held, name in sorted(found, reverse=at % 2 == 0):
                caller.begin_anew()
                found[held, name].append(load(f"{site.url}{PATHS[name]}", caller, seconds, connections=held))
    return [row for held in CONNECTIONS for row in _rows(held, found[held, "metered"], found[held, "unmetered"])]


class Caller:
    """A customer who is never refused, and the key. Raises Skipped where wrk is missing."""

    def __init__(self) -> None:
        if shutil.which("wrk") is None:
            raise Skipped("wrk is not on PATH (Debian's package wrk); a load generator in Python would measure itself")
        user = get_user_model().objects.create_user("alice")
        Plan.objects.filter(code="starter").update(monthly_token_quota=10**12, requests_per_minute=1_000_000)
        opening.subscribe(user.pk, Plan.objects.get(code="starter"), timezone.now())
        self.key = ApiKey.issue(account=user, name="bench", scope="")[1]
        self._keys, self._engine = AccountKeys(user.pk), redis.Redis.from_url(settings.REDIS_URL)

    def begin_anew(self) -> None:
        """The minute is empty, as the next one's would be."""
        self._engine.delete(self._keys.ring, self._keys.ring_body)


def _rows(held: int, metered: Sequence[Load], unmetered: Sequence[Load]) -> list[Row]:
    rounds = [*zip(metered, unmetered, strict=True)]
    bare, bare_p99 = median(load.per_second for load in unmetered), median(load.p99_ms for load in unmetered)
    ratio = median(ours.per_second / theirs.per_second for ours, theirs in rounds)
    tail = median(ours.p99_ms / theirs.p99_ms for ours, theirs in rounds)
    note, bare_note = (_spread([load.per_second for load in loads]) for loads in (metered, unmetered))
    name = f"{held} connections, "
    return [
        Row(f"{name}unmetered", bare, "requests/s", note=bare_note),
        at_least(f"{name}metered", ratio * bare, "requests/s", times=0.7, of=bare, what="unmetered", note=note),
        Row(f"{name}unmetered, p50", median(load.p50_ms for load in unmetered), "ms"),
        Row(f"{name}metered, p50", median(load.p50_ms for load in metered), "ms"),
        Row(f"{name}unmetered, p99", bare_p99, "ms"),
        at_most(f"{name}metered, p99", tail * bare_p99, "ms", times=1.4, of=bare_p99, what="unmetered"),
    ]


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):,.0f} to {max(values):,.0f}"


def load(url: str, caller: Caller, seconds: int, *, connections: int = 16) -> Load:
    """What wrk sees in so many seconds. Raises RuntimeError where an answer was no success."""
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", f"Authorization: Bearer {caller.key}"]
    told = subprocess.run([*argv, url], capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    if re.search("Non-2xx|Socket errors", told):
        raise RuntimeError(f"not every answer was a success:\n{told}")
    rate, count = re.search(r"Requests/sec:\s+([\d.]+)", told), re.search(r"(\d+) requests in", told)
    if rate is None or count is None:
        raise RuntimeError(f"wrk said nothing of a rate:\n{told}")
    return Load(float(rate[1]), _percentile(told, 50), _percentile(told, 99), int(count[1]))


def _percentile(told: str, percent: int) -> float:
    found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s) *$", told, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"wrk said nothing of the {percent}th percentile:\n{told}")
    return float(found[1]) * {"us": 0.001, "ms": 1, "s": 1000}[found[2]]
