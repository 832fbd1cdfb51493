"""`init_redis_keys` after Redis has lost everything: every account's fence and counter, told from PostgreSQL."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from django.db import connection

from billing.models import Plan
from billing.rules.periods import month_window
from ratelimit.store import client
from tests.programs.bench import Row
from tests.programs.bench.growth_population import customers, last_month
from usage.sync.rebuild import rebuild

TITLE = "Rebuild of Redis"
COUNTERS = """
INSERT INTO usage_windowusage (account_id, starts_at, ends_at, tokens, revision)
    SELECT id, %s, %s, id %% 1000, 3 FROM auth_user
"""


def run(*, quick: bool) -> list[Row]:
    accounts, now = 5_000 if quick else 100_000, datetime.now(UTC)
    customers(1, accounts, list(Plan.objects.all()), last_month(now))
    window = month_window(now)
    with connection.cursor() as cursor:
        cursor.execute(COUNTERS, [window.start, window.end])
        cursor.execute("ANALYZE usage_windowusage")
    client().flushall()
    began = time.perf_counter()
    told = rebuild(now, lambda told, total: None)
    lost_rate = told / (time.perf_counter() - began)
    assert (told, client().dbsize()) == (accounts, 2 * accounts + 64)
    began = time.perf_counter()
    rebuild(now, lambda told, total: None)
    return [
        Row("Redis is empty", lost_rate, "accounts/s"),
        Row("Redis knows it all", told / (time.perf_counter() - began), "accounts/s"),
    ]
