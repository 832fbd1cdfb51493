"""A plan that sells tokens above its quota, tokens used at an instant, and what was billed for them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any

from django.db.models import Sum

from billing.entitlements.snapshots import snapshot
from billing.models import InvoiceLine, Plan, WindowOverage
from billing.rules.ids import mint
from billing.rules.instants import to_ms, to_seconds
from billing.rules.tokens.overage import cost
from ratelimit import process_state
from tests.factories import make_plan, money
from usage.log.events import CHARGE, Event
from usage.log.store import record_without_redis
from usage.models import WindowUsage

TERMS = {"quota_window": "billing_period", "monthly_token_quota": 1000, "overage_price": money("0.5")}


def make_metered(code: str = "metered", price: Any = 31, rank: int = 1, **fields: Any) -> Plan:
    """1,000 tokens a billing period, then 0.50 for each 1,000, up to 10,000 of them."""
    return make_plan(code, price, rank, **{**TERMS, "overage_cap_tokens": 10_000, **fields})


def use(account: int, tokens: int, at: datetime, *, told_late: bool = False) -> Event:
    """A call of so many tokens at an instant, in PostgreSQL; `told_late`: it is returned, and comes later."""
    process_state.start_anew()
    now_ms = to_ms(at)
    window = snapshot(account, now_ms).entitlement.window
    event = Event(
        charge=mint(now_ms),
        kind=CHARGE,
        account=account,
        window_start=to_seconds(window.start),
        window_end=to_seconds(window.end),
        feature="trace_start",
        tokens=tokens,
        at_ms=now_ms,
    )
    if not told_late:
        record_without_redis([event])
    return event


def overage_lines(account: int) -> list[tuple[str, Decimal]]:
    """What every line of overage says, oldest first."""
    lines = InvoiceLine.objects.filter(invoice__account=account, kind=InvoiceLine.Kind.OVERAGE)
    return list(lines.order_by("pk").values_list("description", "amount"))


def assert_overage_explained(account: int) -> None:
    """Each row bills its tokens once, at its price, rounded once; no window more than was used above its quota.

    Of an account of which staff have credited nothing.
    """
    rows = list(WindowOverage.objects.filter(account=account).order_by("window_starts_at", "until"))
    for row in rows:
        assert row.amount == (0 if row.unit_price is None else cost(row.tokens, row.unit_price, row.currency)), row
    lines = InvoiceLine.objects.filter(invoice__account=account, kind=InvoiceLine.Kind.OVERAGE)
    billed = lines.exclude(invoice__status="void").aggregate(sum=Sum("amount"))["sum"] or 0
    assert billed == sum(row.amount for row in rows)
    for starts_at, of_window in groupby(rows, lambda row: row.window_starts_at):
        counter = WindowUsage.objects.filter(account_id=account, starts_at=starts_at).first()
        parts = list(of_window)
        quotas = [part.included for part in parts if part.included is not None]
        most = max((counter.tokens if counter else 0) - min(quotas, default=0), 0)
        assert sum(part.tokens for part in parts) <= most
