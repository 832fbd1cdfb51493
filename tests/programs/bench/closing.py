"""`apply_downgrades` at the first of a month: every subscription is due, each gets a new period and an invoice."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from billing.models import Invoice, Plan
from billing.subscriptions import renewal
from tests.programs.bench import Row
from tests.programs.bench.growth_population import customers
from tests.programs.bench.stage import say

TITLE = "Period close"
ANCHOR = datetime(2026, 9, 1, tzinfo=UTC)
CLOSED_AT = datetime(2026, 10, 2, tzinfo=UTC)
LEAST = 3_000
"""Subscriptions a second."""


def run(*, quick: bool) -> list[Row]:
    plans = list(Plan.objects.filter(price__gt=0))
    rows, first = [], 1
    for count in (10_000,) if quick else (10_000, 100_000):
        customers(first, first + count - 1, plans, ANCHOR)
        before = Invoice.objects.count()
        say(f"{count:,} due")
        began = time.perf_counter()
        done = renewal.renew_due(CLOSED_AT)
        rate = count / (time.perf_counter() - began)
        assert (done.renewed, Invoice.objects.count() - before) == (count, count)
        rows.append(Row(f"{count:,} due", rate, "subscriptions/s", f"≥ {LEAST:,}", None, rate >= LEAST))
        first += count
    return rows
