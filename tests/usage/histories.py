"""Charges and voids without a gateway, and the three sums that law L2 holds together."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db.models import Sum

from billing.entitlements.snapshots import snapshot
from billing.rules import ids
from ratelimit.keys import stream
from ratelimit.store import client
from tests.cast import Customer
from usage.log import events
from usage.log.events import Event
from usage.metering.admit import Admission
from usage.metering.admit import admit as decide
from usage.metering.call import ChargeRequest
from usage.models import DailyUsage, FeatureUsage, UsageLog, WindowUsage

MARCH, APRIL = (int(datetime(2031, month, 1, tzinfo=UTC).timestamp()) for month in (3, 4))
"""A window, in Unix seconds."""


def admit(customer: Customer, feature: str = "trace_start", **fields: str) -> Admission:
    """A call of the feature, admitted and charged."""
    return decide(
        customer.caller,
        lambda catalogue: ChargeRequest(catalogue.features[feature], **fields),  # type: ignore[arg-type]
    )


def charge(account: int, tokens: int = 10, feature: str = "trace_start", at_ms: int = MARCH * 1000 + 5) -> Event:
    """A charge in March 2031."""
    return Event(ids.mint(at_ms), events.CHARGE, account, MARCH, APRIL, feature, tokens, at_ms)


def put(*written: Event | bytes, shard: int) -> None:
    """Into the shard's stream, as the scripts do."""
    for event in written:
        client().xadd(stream(shard), {"e": event if isinstance(event, bytes) else event.encode()})


def in_redis(account: int, window_start: int) -> int:
    """What Redis judges by."""
    held = client().hgetall(f"{{s{account % 64:02d}}}:q:{account}:{window_start}")
    return int(held.get(b"l", 0)) + int(held.get(b"p", 0))


def in_redis_now(customer: Customer, now_ms: int) -> int:
    window = snapshot(customer.account, now_ms).entitlement.window
    return in_redis(customer.account, int(window.start.timestamp()))


def sums(account: int) -> set[int]:
    """The account's tokens by log, by counter, by feature and by day: one number where the sums hold."""
    tables = (
        UsageLog.objects.filter(account=account),
        WindowUsage.objects.filter(account_id=account),
        FeatureUsage.objects.filter(account_id=account),
        DailyUsage.objects.filter(account_id=account),
    )
    return {table.aggregate(sum=Sum("tokens"))["sum"] or 0 for table in tables}
