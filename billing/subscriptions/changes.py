"""Changes of plan: upgrade now, downgrade at the period's end, cancel that. Each locks the subscription first.

A subscription's plan, period, schedule and end are written by this module, `opening`, `canceling`, and `renewal`,
`ending` and `releasing` of `period_end` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.module_loading import import_string

from billing.invoicing import issuing, review
from billing.models import BillingPeriod, Invoice, Plan, Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.entitlements.plan_offers import NO_PLAN
from billing.rules.periods import Period, nth_period
from billing.rules.plan_change import Available, Direction, available, blockers
from billing.rules.proration import Proration
from billing.subscriptions import opening, quotes, trials
from billing.subscriptions.coupons import discounts
from billing.subscriptions.opening import get_or_open_subscription
from billing.subscriptions.overage.change import note_change
from billing.subscriptions.period_end import renewal
from billing.subscriptions.refusals import (
    ActiveFeatures,
    NoSubscription,
    NotADowngrade,
    NotAnUpgrade,
    NothingScheduled,
    QuoteExpired,
    UnderReview,
)


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change of plan has done."""

    previous_plan: Plan | None
    """None where the account had no subscription."""
    subscription: Subscription
    """After the change."""
    period: Period
    """The present one: kept, or begun by the change; the first one of a subscription that was opened."""
    invoice: Invoice | None
    """None where there was nothing to bill."""
    proration: Proration
    """How the invoice came about."""

    @property
    def trial_ends_at(self) -> datetime | None:
        """Of the trial that the change has begun; None where it has begun none."""
        return self.period.end if self.subscription.is_on_trial else None


def upgrade(
    account: int,
    target: Plan,
    now: datetime,
    quoted_at: datetime | None = None,
    digest: str | None = None,
    *,
    trial: bool = True,
) -> Changed:
    """Move the account to a higher plan now: its period stays and the rest is charged, or one begins (`opens_period`).

    An account without a subscription gets one, at the full price. Where the account gets the target's `trial`, that
    begins, and the rest of a free period is dropped. With `quoted_at` the amounts are those of a quote of
    that instant; with its `digest` as well they are those that were shown, or nothing is done. Raises NotAnUpgrade,
    QuoteExpired, UnderReview, OnlyAtPeriodEnd, NoSubscription (the user is deactivated).
    """
    with transaction.atomic():
        try:
            subscription = locked(account, now)
        except NoSubscription:
            return _open(account, target, now, quoted_at, digest, trial=trial)
        quote = quotes.quote(subscription.current_period(), target, quoted_at or now)
        quote = quotes.with_trial(quote) if trial else quote
        if quote.direction is not Direction.UPGRADE or not target.is_on_sale:
            raise NotAnUpgrade(target=target.name, current=quote.period.plan.name)
        if quoted_at is not None:
            quotes.check_age(quoted_at, now)
            quote.check_unchanged(now, digest)
        return change_now(quote, now)


def change_now(
    quote: quotes.Quote, now: datetime, *, reviewed: bool = False, kept_price: Decimal | None = None
) -> Changed:
    """Put the locked subscription of a quote on its target now, in either direction, at the quote's amounts.

    With the `kept_price` that the quote was made with it goes on at that price.
    Raises UnderReview for an invoice that looks wrong unless staff have looked (`reviewed`).
    """
    period, target, discount = quote.period, quote.target, quote.discount
    subscription, previous = period.subscription, period.plan
    begun = _period_to_begin(quote, now) if quote.opens_period else None
    bill = quote.bill(now, begun)
    if not reviewed and review.review_reason([bill], review.issued_today([subscription.account_id], now)):
        raise UnderReview(reason="invoice")
    note_change(period, target, now)
    subscription.put_on(target, now, begun, kept_price)
    sold = begun or BillingPeriod(pk=period.pk, subscription=subscription, plan=target, price=quote.price)
    if begun is None:
        sold.overage_price = target.overage_price
    if discount is not None:
        sold.coupon, sold.discount = discount.coupon, discount.amount
    if begun is not None:
        _begin(begun, period)
    else:
        sold.save(update_fields=["plan", "price", "overage_price", "coupon", "discount"])
    if discount is not None and discount.uses is not None:
        discounts.count_uses([sold])
    invoice = issuing.issue_one(bill, now)
    ids = {"subscription": subscription.pk} | ({"invoice": invoice.pk} if invoice else {})
    record(Happened.PLAN_CHANGED, subscription.account_id, from_plan=previous.code, to_plan=target.code, **ids)
    if begun is not None and begun.is_trial:
        record(Happened.TRIAL_STARTED, subscription.account_id, subscription=subscription.pk, plan=target.code)
    return Changed(previous, subscription, (begun or period).period, invoice, quote.proration)


def _period_to_begin(quote: quotes.Quote, now: datetime) -> BillingPeriod:
    """The target's period from now on, to the second, or its trial.

    It takes the place of one that has begun in this very second: no period is empty.
    """
    old, target, start = quote.period, quote.target, now.replace(microsecond=0)
    number = old.number + 1
    if quote.trial_days:
        begun = trials.period_of(old.subscription, number, start, target, quote.trial_days)
    else:
        period = nth_period(start, target.billed_every, 0)
        begun = BillingPeriod.of(old.subscription, number, period, target, quote.price)
    if start <= old.starts_at:
        begun.pk, begun.number = old.pk, old.number
    return begun


def _begin(begun: BillingPeriod, old: BillingPeriod) -> None:
    if begun.pk is None:
        BillingPeriod.objects.filter(pk=old.pk).update(ends_at=begun.starts_at)
    begun.save()


def features_in_use(account: int, target: Plan, now: datetime) -> frozenset[str]:
    """The capabilities in active use, as the function that BILLING_ACTIVE_FEATURES names has them.

    For a downgrade to the target. Never call it within a transaction: it drains the account's usage from Redis into
    PostgreSQL first, which has to be committed whatever becomes of the downgrade. Raises NotADowngrade,
    OnlyAtPeriodEnd, ActivityUnknown.
    """
    _check_follows(get_or_open_subscription(account, now).current_period(), target)
    return frozenset(import_string(settings.BILLING_ACTIVE_FEATURES)(account, now))


def downgrade_with_effective_date(
    account: int, target: Plan, now: datetime, in_use: frozenset[str] | None = None
) -> Subscription:
    """Schedule a plan for the end of the present period: a lower one, or one that can only follow there.

    It replaces what was scheduled.

    A caller with a transaction of its own passes what `features_in_use` gave before it; without it that is called.
    Raises NotADowngrade, ActiveFeatures, ActivityUnknown, UnderReview, OnlyAtPeriodEnd.
    """
    if in_use is None:
        in_use = features_in_use(account, target, now)
    with transaction.atomic():
        subscription = locked(account, now)
        period = subscription.current_period()
        _check_follows(period, target)
        blocking = blockers(in_use, target.capability_codes())
        if blocking:
            raise ActiveFeatures(blocking)
        subscription.schedule(target, period.ends_at, now)
        record(Happened.CHANGE_SCHEDULED, account, subscription=subscription.pk, plan=target.code)
    return subscription


def cancel_scheduled_change(account: int, now: datetime) -> Subscription:
    """Keep the present plan beyond the period's end. Raises NothingScheduled, NoSubscription, UnderReview."""
    with transaction.atomic():
        subscription = locked(account, now)
        if subscription.scheduled_plan is None:
            raise NothingScheduled
        dropped = subscription.scheduled_plan.code
        subscription.drop_schedule(now)
        record(Happened.SCHEDULE_CANCELLED, account, subscription=subscription.pk, plan=dropped)
    return subscription


def locked(account: int, now: datetime) -> Subscription:
    """The account's live subscription, locked, and renewed where it is due; where it has ended, the one that follows.

    Raises UnderReview for a parked one, and NoSubscription.
    """
    found = get_or_open_subscription(account, now)
    subscription = Subscription.objects.select_for_update().get(pk=found.pk)
    if subscription.is_parked:
        raise UnderReview(reason="parked")
    if subscription.is_live and subscription.period_ends_at <= now:
        if renewal.renew([subscription], now).parked:
            raise UnderReview(reason="parked")
        subscription.refresh_from_db()
    return subscription if subscription.is_live else locked(account, now)


def _open(
    account: int, target: Plan, now: datetime, quoted_at: datetime | None, digest: str | None, *, trial: bool
) -> Changed:
    """Open a subscription for an account that has none, and bill it. Raises as `upgrade`."""
    quote = quotes.opening_quote(account, target, quoted_at or now, discounts.active(account))
    quote = quotes.with_trial(quote) if trial else quote
    if not target.is_on_sale:
        raise NotAnUpgrade(target=target.name, current=NO_PLAN.name)
    if quoted_at is not None:
        quotes.check_age(quoted_at, now)
        if Subscription.objects.filter(account=account, ended_at__gt=quoted_at).exists():
            raise QuoteExpired(reason="subscription")
        quote.check_unchanged(now, digest)
    try:
        subscription = opening.subscribe(account, target, now, trial_days=quote.trial_days)
    except IntegrityError:
        # Another process has opened one in the same moment: this is an upgrade from there.
        return upgrade(account, target, now, quoted_at, digest, trial=trial)
    if subscription.is_parked:
        raise UnderReview(reason="invoice")  # which takes all of it back
    period = subscription.current_period().period
    return Changed(None, subscription, period, subscription.invoices.first(), quote.proration)


def _check_follows(period: BillingPeriod, target: Plan) -> None:
    if available(period.terms, target.terms) is not Available.AT_PERIOD_END or not target.is_on_sale:
        raise NotADowngrade(target=target.name, current=period.plan.name)
