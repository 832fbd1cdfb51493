"""Changes that staff look at first: tried and rolled back to show them, then made just as they were shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from billing.models import BillingPeriod, Plan, Subscription
from billing.rules.money import in_currency
from billing.subscriptions import changes, quotes
from billing.subscriptions.period_end import releasing
from billing.subscriptions.refusals import AlreadyOnPlan, NotParked, QuoteExpired, UnderReview
from billing.subscriptions.staff.documents import Documents, documents_after, last_documents


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
    releasing.release(parked, now)
    released = Subscription.objects.select_related("account", "plan").get(pk=parked.pk)
    period = released.current_period()
    documents = documents_after(account, last, period.currency)
    digest = quotes.digest_of(
        (parked_at.isoformat(), period.number, in_currency(period.price, period.currency), period.currency),
        quotes.limits_of(released.plan),
        documents.said(),
    )
    return ReleasePreview(released, period, documents, digest)
