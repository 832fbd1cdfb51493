"""The only writer of subscriptions, with its batch half `renewal`: subscribe, upgrade, schedule a downgrade."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from billing.invoicing import issuing, ledger, review
from billing.invoicing.issuing import Bill, Line
from billing.invoicing.ledger import Kind
from billing.models import BillingPeriod, CreditNote, Invoice, Plan, Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.money import in_currency
from billing.rules.periods import Period
from billing.rules.plan_change import Direction, PlanTerms, blockers, decide
from billing.rules.proration import Proration, prorate
from billing.rules.usage_window import kept_window
from billing.subscriptions import renewal
from billing.subscriptions.opening import get_or_open_subscription
from billing.subscriptions.refusals import (
    ActiveFeatures,
    NotADowngrade,
    NotAnUpgrade,
    NothingScheduled,
    QuoteExpired,
    UnderReview,
)

QUOTE_HOLDS_FOR = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change of plan has done: the plan before, the subscription after, the invoice and how it came about."""

    previous_plan: Plan
    subscription: Subscription
    period: Period
    invoice: Invoice
    proration: Proration


def preview(period: BillingPeriod, target: Plan, at: datetime) -> tuple[Direction, Proration]:
    """What a change from the period's plan to the target at an instant would cost. Raises IncomparablePlans.

    A period without a primary key is one that the close, which is late, is going to open and bill in full.
    """
    direction = decide(terms_of(period), terms(target))
    return direction, _prorated(period, target, at)


def upgrade(account: int, target: Plan, now: datetime, quoted_at: datetime | None = None) -> Changed:
    """Move the account to a higher plan now, for a prorated invoice; period and anchor stay.

    With `quoted_at` the amounts are those of a preview at that instant. Raises NotAnUpgrade, QuoteExpired,
    UnderReview, IncomparablePlans.
    """
    with transaction.atomic():
        subscription = locked(account, now)
        period = current_period(subscription)
        if decide(terms_of(period), terms(target)) is not Direction.UPGRADE or target.archived_at:
            raise NotAnUpgrade(f"{target.name} is not an upgrade from {period.plan.name}. Choose a higher plan.")
        if quoted_at is not None:
            _check_quote(subscription, period, target, quoted_at, now)
        return change_now(subscription, target, now, quoted_at or now)


def change_now(
    subscription: Subscription, target: Plan, now: datetime, priced_at: datetime, *, reviewed: bool = False
) -> Changed:
    """Put a locked subscription on another plan now, in either direction, prorated as of `priced_at`.

    Raises IncomparablePlans, and UnderReview for an invoice that looks wrong unless staff have looked (`reviewed`).
    """
    period = current_period(subscription)
    decide(terms_of(period), terms(target))
    previous, proration = period.plan, _prorated(period, target, priced_at)
    rest = Period(max(now, period.starts_at), period.ends_at)
    lines = [
        Line(Kind.CREDIT, f"Unused time on {previous.name}", -proration.credit, rest),
        Line(Kind.CHARGE, f"Remaining time on {target.name}", proration.charge, rest),
    ]
    bill = Bill(subscription, period.currency, tuple(line for line in lines if line.amount) or tuple(lines[1:]))
    if not reviewed and review.review_reason([bill], review.issued_today([subscription.account_id], now)):
        raise UnderReview("This change needs a look by our staff. Please contact support.")
    _put_on(subscription, target, now)
    subscription.scheduled_plan = subscription.scheduled_at = None
    subscription.changed_at = now
    subscription.save()
    BillingPeriod.objects.filter(pk=period.pk).update(plan=target, price=target.price)
    (invoice,) = issuing.issue([bill], now)
    ids = {"subscription": subscription.pk, "invoice": invoice.pk}
    record(Happened.PLAN_CHANGED, subscription.account_id, from_plan=previous.code, to_plan=target.code, **ids)
    return Changed(previous, subscription, period.period, invoice, proration)


def features_in_use(account: int, target: Plan, now: datetime) -> frozenset[str]:
    """Capabilities in active use, asked before a downgrade to the target (the setting says whom).

    Never within a transaction: the usage log is brought up to now first, and what it takes from Redis has to be
    committed whatever becomes of the downgrade. Raises NotADowngrade, IncomparablePlans, ActivityUnknown.
    """
    _check_lower(current_period(get_or_open_subscription(account, now)), target)
    return frozenset(import_string(settings.BILLING_ACTIVE_FEATURES)(account, now))


def downgrade_with_effective_date(
    account: int, target: Plan, now: datetime, in_use: frozenset[str] | None = None
) -> Subscription:
    """Schedule a lower plan for the end of the present period; it replaces what was scheduled.

    `in_use` is what `features_in_use` said, for a caller with a transaction of its own; else it is asked here.
    Raises NotADowngrade, ActiveFeatures, ActivityUnknown, UnderReview, IncomparablePlans.
    """
    if in_use is None:
        in_use = features_in_use(account, target, now)
    with transaction.atomic():
        subscription = locked(account, now)
        period = current_period(subscription)
        _check_lower(period, target)
        blocking = blockers(in_use, target.capabilities.values_list("code", flat=True))
        if blocking:
            raise ActiveFeatures(blocking)
        subscription.scheduled_plan, subscription.scheduled_at = target, period.ends_at
        subscription.changed_at = now
        subscription.save()
        record(Happened.CHANGE_SCHEDULED, account, subscription=subscription.pk, plan=target.code)
    return subscription


def cancel_scheduled_change(account: int, now: datetime) -> Subscription:
    """Keep the present plan beyond the period's end. Raises NothingScheduled."""
    with transaction.atomic():
        subscription = locked(account, now)
        if subscription.scheduled_plan is None:
            raise NothingScheduled("No change is scheduled.")
        dropped = subscription.scheduled_plan.code
        record(Happened.SCHEDULE_CANCELLED, account, subscription=subscription.pk, plan=dropped)
        subscription.scheduled_plan = subscription.scheduled_at = None
        subscription.changed_at = now
        subscription.save()
    return subscription


def locked(account: int, now: datetime) -> Subscription:
    """The live subscription, locked and brought up to now: periods that are due are closed first."""
    found = get_or_open_subscription(account, now)
    subscription = Subscription.objects.select_for_update().get(pk=found.pk)
    if subscription.parked_at is not None:
        raise UnderReview("Your account is being looked at by our staff. Please contact support.")
    if subscription.period_ends_at <= now:
        if renewal.close([subscription], now).parked:
            raise UnderReview("Your account is being looked at by our staff. Please contact support.")
        subscription.refresh_from_db()
    return subscription


def current_period(subscription: Subscription) -> BillingPeriod:
    """The period opened last; with its plan and the price that was fixed for it."""
    return BillingPeriod.objects.select_related("plan").filter(subscription=subscription).latest("number")


def terms(plan: Plan) -> PlanTerms:
    """A plan as it is sold now."""
    return PlanTerms(plan.code, plan.rank, plan.price, plan.currency, plan.billed_every)


def terms_of(period: BillingPeriod) -> PlanTerms:
    """A plan as it was sold for a period."""
    return PlanTerms(period.plan.code, period.plan.rank, period.price, period.currency, period.plan.billed_every)


def _check_lower(period: BillingPeriod, target: Plan) -> None:
    if decide(terms_of(period), terms(target)) is not Direction.DOWNGRADE or target.archived_at:
        raise NotADowngrade(f"{target.name} is not a downgrade from {period.plan.name}. Choose a lower plan.")


def _prorated(period: BillingPeriod, target: Plan, at: datetime) -> Proration:
    """The change's proration, its credit cut to what was billed for the period net of earlier credits."""
    old, new = (in_currency(price, period.currency) for price in (period.price, target.price))
    proration = prorate(old, new, period.period, at, period.currency, settings.PRORATION_GRANULARITY)
    if period.pk is None:
        return proration
    billed = in_currency(ledger.billed_in(period.subscription, period.period), period.currency)
    credit = min(proration.credit, billed)
    return replace(proration, credit=credit, net=proration.charge - credit)


def _put_on(subscription: Subscription, target: Plan, now: datetime) -> None:
    kind, until = kept_window(subscription, subscription.plan, now)
    subscription.plan = target
    subscription.former_quota_window, subscription.former_quota_window_until = kind, until


def _check_quote(
    subscription: Subscription, period: BillingPeriod, target: Plan, quoted_at: datetime, now: datetime
) -> None:
    if quoted_at > now:
        raise QuoteExpired("The quote lies in the future. Ask for a new one.")
    if now - quoted_at > QUOTE_HOLDS_FOR:
        raise QuoteExpired("The quote is older than 15 minutes. Ask for a new one.")
    if target.priced_at > quoted_at:
        raise QuoteExpired("The price was changed since. Ask for a new quote.")
    if subscription.changed_at > quoted_at or not period.period.contains(quoted_at):
        raise QuoteExpired("The subscription was changed since. Ask for a new quote.")
    credited = CreditNote.objects.filter(invoice__subscription=subscription, issued_at__gt=quoted_at)
    if credited.exists() or subscription.invoices.filter(voided_at__gt=quoted_at).exists():
        raise QuoteExpired("An invoice was credited since. Ask for a new quote.")
