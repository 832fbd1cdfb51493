"""Ends that staff look at first: a subscription ended at once, with or without a credit for the rest of its period."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.invoicing import issuing
from billing.invoicing.bills import Bill, Line
from billing.invoicing.ledger import Kind
from billing.models import BillingPeriod, Plan, Subscription
from billing.rules.money import in_currency
from billing.rules.periods import Period
from billing.subscriptions import changes, quotes
from billing.subscriptions.canceling import check_cancelable
from billing.subscriptions.period_end import renewal
from billing.subscriptions.refusals import QuoteExpired
from billing.subscriptions.staff.documents import Documents, documents_after, last_documents


@dataclass(frozen=True, slots=True)
class EndPreview:
    """A subscription that was ended, or tried."""

    subscription: Subscription
    period: BillingPeriod
    """The one it was in; it was billed in advance."""
    then: Plan | None
    """The plan that follows; None: nothing does."""
    credit: Decimal
    """For the rest of the period, in its currency."""
    documents: Documents
    digest: str
    """Equal for two ends that show and bill the same."""


def preview_end(account: int, now: datetime, *, credit: bool) -> EndPreview:
    """What `end_now` would do, found out by doing it and rolling it back. Raises what `end_now` raises."""
    with transaction.atomic():
        preview = _end(account, now, now, credit=credit)
        transaction.set_rollback(True)
    return preview


def end_now(account: int, now: datetime, shown_at: datetime, digest: str, *, credit: bool) -> EndPreview:
    """End the account's subscription at once, as it was shown at `shown_at`; the default plan follows.

    Tokens above the quota are billed as far as they are used by now, also after it was shown.

    With `credit`, the rest of the period is credited: it lowers what is due, and what was paid becomes balance.
    Raises QuoteExpired where the preview is too old or shows something else now; NothingToCancel, NoSubscription, and
    UnderReview for a parked subscription.
    """
    quotes.check_age(shown_at, now)
    with transaction.atomic():
        ended = _end(account, now, shown_at, credit=credit)
        if ended.digest != digest:
            raise QuoteExpired(reason="digest")
    return ended


def _end(account: int, now: datetime, priced_at: datetime, *, credit: bool) -> EndPreview:
    last = last_documents(account)
    subscription = changes.locked(account, now)
    changed_at, then = subscription.changed_at, check_cancelable(subscription)
    period = subscription.current_period()
    amount = quotes.unused(period, priced_at) if credit else in_currency(Decimal(0), period.currency)
    if amount:
        rest = Period(max(now, period.starts_at), period.ends_at)
        line = Line(Kind.CREDIT, f"Unused time on {period.plan.name}", -amount, rest, period)
        issuing.issue([Bill(subscription, period.currency, (line,))], now)
    follows = renewal.end(subscription, now)
    documents = documents_after(account, last, period.currency)
    digest = quotes.digest_of(
        (priced_at.isoformat(), subscription.pk, changed_at.isoformat(), period.number, amount, credit),
        quotes.limits_of(follows.plan) if follows else None,
        documents.said(but_overage=True),
    )
    return EndPreview(subscription, period, then if follows else None, amount, documents, digest)
