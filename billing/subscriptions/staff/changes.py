"""Changes that staff look at first: tried and rolled back to show them, then made just as they were shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Max

from billing.invoicing import ledger
from billing.invoicing.ledger import Kind
from billing.models import BalanceEntry, BillingPeriod, Invoice, InvoiceLine, Plan, Subscription
from billing.rules.money import in_currency
from billing.subscriptions import changes, parking, quotes
from billing.subscriptions.refusals import AlreadyOnPlan, NotParked, QuoteExpired, UnderReview


@dataclass(frozen=True, slots=True)
class Documents:
    """What a change issues. In a preview the invoices have numbers that are not kept."""

    invoices: tuple[tuple[Invoice, tuple[InvoiceLine, ...]], ...]
    settled: tuple[BalanceEntry, ...]
    """What the change gives back and earlier invoices use at once: entries below zero."""
    balance: Decimal
    """What is owed to the customer afterwards."""
    currency: str

    def said(self, *, but_overage: bool = False) -> tuple[object, ...]:
        """All that they say, but for their numbers, as a digest takes it in.

        `but_overage`: also without what bills tokens above the quota, of which a customer goes on using more.
        """
        issued, balance = [], self.balance
        for invoice, lines in self.invoices:
            if but_overage and any(line.kind == Kind.OVERAGE for line in lines):
                balance -= sum((line.amount for line in lines if line.kind == Kind.BALANCE), Decimal(0))
            else:
                issued.append([(line.description, in_currency(line.amount, invoice.currency)) for line in lines])
        settled = [(entry.invoice_id, in_currency(entry.amount, entry.currency)) for entry in self.settled]
        return issued, settled, in_currency(balance, self.currency)


@dataclass(frozen=True, slots=True)
class ChangePreview:
    """A change of plan that was made, or tried."""

    quote: quotes.Quote
    digest: str
    """The quote's, taken before the change."""
    changed: changes.Changed
    documents: Documents
    dropped: Plan | None
    """The plan whose scheduled change is dropped."""
    looks_wrong: bool
    """A customer would be refused it: its invoice is as large, or one of as many, as staff have to look at."""


@dataclass(frozen=True, slots=True)
class ReleasePreview:
    """A release of a parked subscription that was made, or tried."""

    subscription: Subscription
    period: BillingPeriod
    """The present one, afterwards."""
    documents: Documents
    digest: str
    """Equal for two releases that show and bill the same."""


def preview_change(account: int, target: Plan, now: datetime) -> ChangePreview:
    """What `change_plan` would do now, found out by doing it and rolling it back. Raises what `change_plan` raises."""
    with transaction.atomic():
        preview = _change(account, target, now, now)
        transaction.set_rollback(True)
    return preview


def change_plan(account: int, target: Plan, now: datetime, shown_at: datetime, digest: str) -> ChangePreview:
    """Put the account on another plan now, in either direction, at the amounts that were shown at `shown_at`.

    Raises QuoteExpired where the preview is too old or anything it showed is different now, AlreadyOnPlan,
    OnlyAtPeriodEnd, and UnderReview for a parked subscription.
    """
    quotes.check_age(shown_at, now)
    with transaction.atomic():
        return _change(account, target, now, shown_at, digest)


def preview_release(subscription: Subscription, now: datetime) -> ReleasePreview:
    """What releasing a parked subscription would bill now, found out by doing it and rolling it back.

    Raises NotParked.
    """
    with transaction.atomic():
        preview = _release(subscription, now)
        transaction.set_rollback(True)
    return preview


def release(subscription: Subscription, now: datetime, digest: str) -> ReleasePreview:
    """Let a parked subscription go on, and bill what was shown.

    Raises NotParked, and QuoteExpired where something else would be billed now.
    """
    with transaction.atomic():
        released = _release(subscription, now)
        if released.digest != digest:
            raise QuoteExpired(reason="digest")
    return released


def _change(account: int, target: Plan, now: datetime, priced_at: datetime, digest: str | None = None) -> ChangePreview:
    last = last_documents(account)
    subscription = changes.locked(account, now)
    period, dropped = subscription.current_period(), subscription.scheduled_plan
    if period.plan_id == target.pk:
        raise AlreadyOnPlan(account=str(subscription.account), plan=target.name)
    quote = quotes.quote(period, target, priced_at)
    if digest is not None:
        quote.check_unchanged(now, digest)
    before = quote.digest()
    try:
        changed, looks_wrong = changes.change_now(quote, now), False
    except UnderReview:
        changed, looks_wrong = changes.change_now(quote, now, reviewed=True), True
    documents = documents_after(account, last, period.currency)
    return ChangePreview(quote, before, changed, documents, dropped, looks_wrong)


def _release(subscription: Subscription, now: datetime) -> ReleasePreview:
    account = subscription.account_id
    last = last_documents(account)
    parked = Subscription.objects.select_for_update().get(pk=subscription.pk)
    parked_at = parked.parked_at
    if parked_at is None:
        raise NotParked
    parking.release(parked, now)
    released = Subscription.objects.select_related("account", "plan").get(pk=parked.pk)
    period = released.current_period()
    documents = documents_after(account, last, period.currency)
    digest = quotes.digest_of(
        (parked_at.isoformat(), period.number, in_currency(period.price, period.currency), period.currency),
        quotes.limits_of(released.plan),
        documents.said(),
    )
    return ReleasePreview(released, period, documents, digest)


def last_documents(account: int) -> tuple[int, int]:
    """The invoice and the balance entry made last, by primary key."""
    invoice = Invoice.objects.filter(account=account).aggregate(last=Max("pk"))["last"]
    entry = BalanceEntry.objects.filter(account=account).aggregate(last=Max("pk"))["last"]
    return invoice or 0, entry or 0


def documents_after(account: int, last: tuple[int, int], currency: str) -> Documents:
    """Read within the transaction, as a preview leaves nothing to read after it."""
    issued = Invoice.objects.filter(account=account, pk__gt=last[0]).order_by("pk").prefetch_related("lines")
    entries = BalanceEntry.objects.filter(account=account, pk__gt=last[1], amount__lt=0, invoice__pk__lte=last[0])
    return Documents(
        invoices=tuple((invoice, tuple(invoice.lines.all())) for invoice in issued),
        settled=tuple(entries.select_related("invoice").order_by("pk")),
        balance=in_currency(ledger.balance(account, currency), currency),
        currency=currency,
    )
