"""What closing the periods that are due would do, by the rules of the close; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from billing.invoicing import review
from billing.models import Subscription
from billing.subscriptions import renewal


@dataclass
class DryRun:
    """In subscriptions but for `periods` and `invoices`. `amounts`: what would be billed, by currency."""

    renewed: int = 0
    changed: int = 0
    periods: int = 0
    invoices: int = 0
    amounts: dict[str, Decimal] = field(default_factory=dict)
    parked: list[int] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)


def dry_run(now: datetime, progress: Callable[[int], None] = lambda _: None) -> DryRun:
    """Go through every subscription that is due by `now`. What is billed is told before any balance is used."""
    total = DryRun()
    for batch in _batches(now):
        today = review.issued_today([subscription.account_id for subscription in batch], now)
        for renewed in _renewals(batch, now, total.failed):
            _count(total, renewed, today)
        progress(len(batch))
    return total


def _batches(now: datetime) -> Iterator[list[Subscription]]:
    last = 0
    rows = Subscription.objects.due(now).select_related("plan", "scheduled_plan").order_by("pk")
    while batch := list(rows.filter(pk__gt=last)[: renewal.BATCH]):
        yield batch
        last = batch[-1].pk


def _renewals(batch: Sequence[Subscription], now: datetime, failed: dict[int, str]) -> list[renewal.Renewal]:
    """As the close does it: together, and where that fails in halves, so that what is faulty is told by itself."""
    try:
        return renewal.renewals(batch, now)
    except (ArithmeticError, LookupError, ValueError) as error:
        if len(batch) == 1:
            failed[batch[0].pk] = f"{type(error).__name__}: {error}"
            return []
    middle = len(batch) // 2
    return _renewals(batch[:middle], now, failed) + _renewals(batch[middle:], now, failed)


def _count(total: DryRun, renewed: renewal.Renewal, today: dict[int, int]) -> None:
    bills = renewal.bills(renewed)
    if review.review_reason(bills, today):
        total.parked.append(renewed.subscription.pk)
        return
    total.renewed += 1
    total.changed += renewed.applies_schedule
    total.periods += len(renewed.opened)
    total.invoices += len(bills)
    for bill in bills:
        total.amounts[bill.currency] = total.amounts.get(bill.currency, Decimal(0)) + bill.total
