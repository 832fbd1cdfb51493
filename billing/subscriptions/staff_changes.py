"""Changes that staff look at first: tried and rolled back to show them, then made just as they were shown."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Max

from billing.invoicing import ledger
from billing.models import BalanceEntry, BillingPeriod, Invoice, InvoiceLine, Plan, Subscription
from billing.rules.money import in_currency
from billing.subscriptions import changes, parking
from billing.subscriptions.refusals import AlreadyOnPlan, NotParked, QuoteExpired, UnderReview


@dataclass(frozen=True, slots=True)
class ChangePreview:
    """What a change has done, or would do. Invoices that are not kept have a number that is not kept either."""

    subscription: Subscription
    period: BillingPeriod
    """The present one, after the change."""
    invoices: tuple[tuple[Invoice, tuple[InvoiceLine, ...]], ...]
    settled: tuple[BalanceEntry, ...]
    """What the customer is owed by it and is used at once for earlier invoices: entries below zero."""
    balance: Decimal
    """What is owed to the customer after it."""
    changed: changes.Changed | None = None
    dropped: Plan | None = None
    """The plan whose scheduled change is dropped."""
    looks_wrong: bool = False
    """A customer would be refused it: an invoice as large, or as many, as staff have to look at."""
    seen_at: datetime | None = None

    @property
    def digest(self) -> str:
        """Equal for two outcomes when all that staff are shown is equal, and nothing was changed in between."""
        plan, period = self.subscription.plan, self.period
        shown = [
            (plan.pk, plan.monthly_token_quota, plan.requests_per_minute, plan.quota_window),
            plan.capability_codes(),
            (period.number, in_currency(period.price, period.currency), period.currency),
            [
                [(line.description, in_currency(line.amount, of.currency)) for line in lines]
                for of, lines in self.invoices
            ],
            [(entry.invoice_id, in_currency(entry.amount, entry.currency)) for entry in self.settled],
            (self.balance, self.dropped and self.dropped.pk, self.seen_at),
        ]
        return hashlib.sha256(repr(shown).encode()).hexdigest()


def preview_change(account: int, target: Plan, now: datetime) -> ChangePreview:
    """What `change_plan` would do now, found out by doing it; nothing is kept. Raises what `change_plan` raises."""
    with transaction.atomic():
        outcome = _change(account, target, now, now)
        transaction.set_rollback(True)
    return outcome


def change_plan(account: int, target: Plan, now: datetime, shown_at: datetime, digest: str) -> ChangePreview:
    """Put the account on another plan now, in either direction, at the amounts that were shown at `shown_at`.

    Raises QuoteExpired where anything that was shown is different by now, AlreadyOnPlan, IncomparablePlans, and
    UnderReview for a parked subscription.
    """
    if shown_at > now or now - shown_at > changes.QUOTE_HOLDS_FOR:
        raise QuoteExpired(reason="old")
    with transaction.atomic():
        outcome = _change(account, target, now, shown_at)
        _check_digest(outcome, digest)
    return outcome


def preview_release(subscription: Subscription, now: datetime) -> ChangePreview:
    """What releasing a parked subscription would bill now; nothing is kept. Raises NotParked."""
    with transaction.atomic():
        outcome = _release(subscription, now)
        transaction.set_rollback(True)
    return outcome


def release(subscription: Subscription, now: datetime, digest: str) -> ChangePreview:
    """Let a parked subscription go on, and bill what was shown. Raises QuoteExpired, NotParked."""
    with transaction.atomic():
        outcome = _release(subscription, now)
        _check_digest(outcome, digest)
    return outcome


def _check_digest(outcome: ChangePreview, digest: str) -> None:
    if outcome.digest != digest:
        raise QuoteExpired(reason="digest")


def _change(account: int, target: Plan, now: datetime, priced_at: datetime) -> ChangePreview:
    last = _last_documents(account)
    subscription = changes.locked(account, now)
    period = subscription.current_period()
    if period.plan_id == target.pk:
        raise AlreadyOnPlan(account=str(subscription.account), plan=target.name)
    if not period.period.contains(priced_at):
        raise QuoteExpired(reason="period")
    seen_at, dropped = subscription.changed_at, subscription.scheduled_plan
    try:
        changed, looks_wrong = changes.change_now(subscription, target, now, priced_at), False
    except UnderReview:
        changed, looks_wrong = changes.change_now(subscription, target, now, priced_at, reviewed=True), True
    invoices, settled = _documents_after(account, last)
    return ChangePreview(
        subscription=subscription,
        period=subscription.current_period(),
        invoices=invoices,
        settled=settled,
        balance=_balance(account, period.currency),
        changed=changed,
        dropped=dropped,
        looks_wrong=looks_wrong,
        seen_at=seen_at,
    )


def _release(subscription: Subscription, now: datetime) -> ChangePreview:
    account = subscription.account_id
    last = _last_documents(account)
    parked = Subscription.objects.select_for_update().get(pk=subscription.pk)
    if parked.parked_at is None:
        raise NotParked
    parking.release(parked, now)
    released = Subscription.objects.select_related("account", "plan").get(pk=parked.pk)
    period = released.current_period()
    invoices, settled = _documents_after(account, last)
    return ChangePreview(
        subscription=released,
        period=period,
        invoices=invoices,
        settled=settled,
        balance=_balance(account, period.currency),
        seen_at=parked.parked_at,
    )


def _balance(account: int, currency: str) -> Decimal:
    return in_currency(ledger.balance(account, currency), currency)


def _last_documents(account: int) -> tuple[int, int]:
    """The invoice and the balance entry made last, by primary key."""
    invoice = Invoice.objects.filter(account=account).aggregate(last=Max("pk"))["last"]
    entry = BalanceEntry.objects.filter(account=account).aggregate(last=Max("pk"))["last"]
    return invoice or 0, entry or 0


def _documents_after(
    account: int, last: tuple[int, int]
) -> tuple[tuple[tuple[Invoice, tuple[InvoiceLine, ...]], ...], tuple[BalanceEntry, ...]]:
    """Read within the transaction, as a preview leaves nothing to read after it."""
    issued = Invoice.objects.filter(account=account, pk__gt=last[0]).order_by("pk").prefetch_related("lines")
    invoices = tuple((invoice, tuple(invoice.lines.all())) for invoice in issued)
    entries = BalanceEntry.objects.filter(account=account, pk__gt=last[1], amount__lt=0, invoice__pk__lte=last[0])
    return invoices, tuple(entries.select_related("invoice").order_by("pk"))
