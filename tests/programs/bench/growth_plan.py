"""A plan's quota is edited where it has 10 subscribers and where it has 100,000, in turn; medians.

"Acts": from the end of the save to the answer of the next call, which is judged by it. Nothing is copied to
subscribers: an edit raises the catalogue's fence, one key a shard, and each worker reads the catalogue once. Then one
worker that knows all subscribers is called for any of them, for ten seconds before an edit and for ten after it. It
shares one core with PostgreSQL and Redis.
"""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from statistics import median, quantiles
from typing import NamedTuple

from django.db import connection

from billing.entitlements.callers import Caller
from billing.models import Plan
from billing.rules.periods import month_window
from ratelimit import process_state
from ratelimit.store import client, store
from tests.programs.bench import Row, at_most
from tests.programs.bench.growth_population import copy_database, customers, idle_in_redis, last_month, use_database
from tests.programs.bench.stage import say
from usage.metering import admit
from usage.metering.call import ChargeRequest

TITLE = "Growth: subscribers of an edited plan"


SMALL = "few_subscribers"


class Edit(NamedTuple):
    save_ms: float
    acts_ms: float
    commands: int


def run(*, quick: bool) -> list[Row]:
    plan, now = Plan.objects.get(code="starter"), datetime.now(UTC)
    few, many = 10, 5_000 if quick else 100_000
    large_database = str(connection.settings_dict["NAME"])
    customers(1, few, [plan], last_month(now))
    copy_database(SMALL)
    say(f"{many:,} subscribers")
    customers(few + 1, many, [plan], last_month(now))
    edits: dict[str, list[Edit]] = {SMALL: [], large_database: []}
    for _ in range(3 if quick else 12):
        for name in edits:
            use_database(name)
            edits[name] += _edits()
    small, large = ([median(column) for column in zip(*found, strict=True)] for found in edits.values())
    rows = []
    for text, unit, at in (("the save", "ms", 0), ("until it acts", "ms", 1), ("commands to Redis", "commands", 2)):
        rows.append(Row(f"{text}, {few} subscribers", small[at], unit))
        name = f"{text}, {many:,} subscribers"
        rows.append(at_most(name, large[at], unit, times=1.2, of=small[at], what=f"with {few}"))
    before, after = _tails(plan, many, 2 if quick else 10)
    name = f"p99 of a worker that knows {many:,}"
    rows.append(Row(f"{name}, before an edit", before, "µs"))
    rows.append(at_most(f"{name}, after it", after, "µs", times=1.5, of=before, what="before"))
    return rows


def _tails(plan: Plan, many: int, seconds: float) -> tuple[float, float]:
    """Microseconds: the 99th percentile of calls before an edit, and of those after it."""
    client().flushall()
    process_state.start_anew()
    idle_in_redis(store(), range(1, many + 1), month_window(datetime.now(UTC)))
    say(f"a worker gets to know {many:,} accounts")
    for account in range(1, many + 1):
        admit.admit(Caller(account), lambda _: ChargeRequest())
    chance = random.Random(17)
    before = _p99(chance, many, seconds)
    plan.refresh_from_db()
    plan.monthly_token_quota = (plan.monthly_token_quota or 0) + 1
    plan.save()
    return before, _p99(chance, many, seconds)


def _p99(chance: random.Random, many: int, seconds: float) -> float:
    took, until = [], time.perf_counter() + seconds
    while (began := time.perf_counter()) < until:
        admit.admit(Caller(chance.randint(1, many)), lambda _: ChargeRequest())
        took.append(time.perf_counter() - began)
    return quantiles(took, n=100)[98] * 1e6


def _edits() -> list[Edit]:
    """Some edits, each of which the call after it has to obey; by a worker that knows the account."""
    client().flushall()  # the other database's versions are not this one's
    process_state.start_anew()
    plan, caller = Plan.objects.get(code="starter"), Caller(1)
    admit.admit(caller, lambda _: ChargeRequest())
    return [_edit(plan, caller, (plan.monthly_token_quota or 0) + 1) for _ in range(5)]


def _edit(plan: Plan, caller: Caller, quota: int) -> Edit:
    before = _commands()
    began = time.perf_counter()
    plan.monthly_token_quota = quota
    plan.save()
    saved = time.perf_counter()
    admission = admit.admit(caller, lambda _: ChargeRequest())
    acted = time.perf_counter()
    assert admission.quota.limit.maximum == quota
    return Edit((saved - began) * 1000, (acted - saved) * 1000, _commands() - before - 1)


def _commands() -> int:
    return int(client().info("stats")["total_commands_processed"])
