"""What a change of plan costs, and how long that holds: one quote for preview, upgrade and staff."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings

from billing.invoicing import ledger, taxation
from billing.invoicing.bills import Bill, Line, discount_lines
from billing.invoicing.ledger import Kind
from billing.models import (
    BillingPeriod,
    Coupon,
    CouponRedemption,
    CreditNote,
    Invoice,
    InvoiceLine,
    Plan,
    Subscription,
)
from billing.rules.money import in_currency
from billing.rules.periods import Period, as_utc, nth_period
from billing.rules.plan_change import Direction, decide, opens_period
from billing.rules.proration import Proration, prorate
from billing.subscriptions import trials
from billing.subscriptions.coupons import discounts
from billing.subscriptions.coupons.discounts import Discount
from billing.subscriptions.refusals import QuoteExpired

HOLDS_FOR = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Quote:
    """What it costs at the instant `at` to put a period's subscription on another plan."""

    period: BillingPeriod
    """The period of the change, with the plan and the price before it. Without a primary key it is not opened yet, and
    is going to be billed in full."""
    target: Plan
    direction: Direction
    proration: Proration
    at: datetime
    price: Decimal
    """For a whole period on the target: its list price, or one that is kept."""
    opens_period: bool = False
    """The change begins a period of the target, charged in full; or else the period stays, and its rest is charged."""
    trial_days: int = 0
    """The period that begins is the target's trial, of so many days, and nothing is charged; 0: it is none."""
    discount: Discount | None = None
    """The coupon of the period afterwards."""

    @property
    def trial_ends_at(self) -> datetime | None:
        """Where the trial ends that would begin at the quote's instant."""
        start = self.at.replace(microsecond=0)
        return start + timedelta(days=self.trial_days) if self.trial_days else None

    @property
    def current_cost(self) -> Decimal:
        """For the whole period, as it was sold."""
        return in_currency(self.period.price, self.period.currency)

    @property
    def target_cost(self) -> Decimal:
        """For the whole period."""
        return in_currency(self.price, self.period.currency)

    @property
    def coupon(self) -> Coupon | None:
        """The coupon that takes something off this change."""
        return self.discount.coupon if self.discount is not None and self.proration.discount else None

    def bill(self, now: datetime, begun: BillingPeriod | None = None) -> Bill:
        """What the change is billed as, with tax as of an instant. `begun` is the period that it begins."""
        period, target, credit, charge = self.period, self.target, self.proration.credit, self.proration.charge
        start = max(now, period.starts_at)
        rest = Period(start, period.ends_at) if start < period.ends_at else period.period
        if self.opens_period:
            title = begun.title if begun else target.name
            new = Line(Kind.BASE, title, charge, begun.period if begun else rest, begun)
        else:
            new = Line(Kind.CHARGE, f"Remaining time on {target.name}", charge, rest, period)
        lines = [Line(Kind.CREDIT, f"Unused time on {period.plan.name}", -credit, rest, period), new]
        if self.discount is not None:
            lines += discount_lines(self.discount.coupon, self.proration.discount, new.period, begun or period)
        billed = tuple(line for line in lines if line.amount) or (new,)
        return taxation.taxed([Bill(period.subscription, period.currency, billed)], now)[0]

    def digest(self) -> str:
        """Equal for two quotes that show the same and whose change would bill the same.

        Over the amounts and the instant, both plans' limits, the subscription's last change and what is scheduled, the
        balance and what is due. Read from PostgreSQL, so it is taken before the change is made.
        """
        subscription, currency = self.period.subscription, self.period.currency
        bill = self.bill(self.at)
        open_invoices = Invoice.objects.due().filter(account=subscription.account_id, currency=currency)
        return digest_of(
            (self.at.isoformat(), subscription.pk, subscription.changed_at.isoformat(), subscription.scheduled_plan_id),
            (self.period.number, self.current_cost, self.target_cost, currency),
            (self.proration.credit, self.proration.charge, self.proration.days_remaining, self.opens_period),
            self.trial_days,
            (self.proration.discount, self.coupon.pk if self.coupon else None),
            (in_currency(bill.tax, currency), in_currency(bill.gross, currency)),
            limits_of(self.period.plan),
            limits_of(self.target),
            in_currency(ledger.balance(subscription.account_id, currency), currency),
            [in_currency(invoice.due, currency) for invoice in open_invoices],
        )

    def check_unchanged(self, now: datetime, digest: str | None = None) -> None:
        """Raises QuoteExpired where what was shown at `at` is not what holds now.

        With the digest that was shown, by comparing it. Without, by what was changed after `at`: the price, the
        subscription, its coupon, what decides about its tax, or an invoice that was credited or voided. Another rate of
        tax may also have come into force in between.
        """
        if digest is None and self.target.priced_at > self.at:
            raise QuoteExpired(reason="price")
        if not self.period.period.contains(self.at):
            raise QuoteExpired(reason="period")
        if digest is None:
            self._check_by_time()
        elif digest != self.digest():
            raise QuoteExpired(reason="digest")
        if self.bill(self.at).gross != self.bill(now).gross:
            raise QuoteExpired(reason="tax")

    def _check_by_time(self) -> None:
        subscription = self.period.subscription
        if subscription.changed_at > self.at:
            raise QuoteExpired(reason="subscription")
        if discounts.changed_since(subscription.account_id, self.at):
            raise QuoteExpired(reason="coupon")
        if taxation.changed_since(subscription.account_id, self.at):
            raise QuoteExpired(reason="tax")
        if subscription.pk is None:
            return  # it is going to be opened: nothing was billed
        credited = CreditNote.objects.filter(invoice__subscription=subscription, issued_at__gt=self.at)
        if credited.exists() or subscription.invoices.filter(voided_at__gt=self.at).exists():
            raise QuoteExpired(reason="credit")


def quote(period: BillingPeriod, target: Plan, at: datetime, kept_price: Decimal | None = None) -> Quote:
    """What a change from the period's plan to the target costs at an instant. Raises OnlyAtPeriodEnd.

    The target counts at its list price, unless a lower one is kept. The credit is at most what was billed for the
    period net of discount and earlier credits. A trial ends with the change, and leaves no time to prorate: a period of
    the target begins.
    """
    return quote_with(discounts.active(period.subscription.account_id), period, target, at, kept_price)


def quote_with(
    redemption: CouponRedemption | None,
    period: BillingPeriod,
    target: Plan,
    at: datetime,
    kept_price: Decimal | None = None,
) -> Quote:
    """The same, with a redemption of a coupon in the place of the account's active one."""
    direction = decide(period.terms, target.terms)
    begins = period.is_trial or opens_period(period.terms, target.terms, direction)
    price = target.price if kept_price is None else min(target.price, kept_price)
    discount = discounts.of_change(period, target, price, at, redemption, begins=begins)
    old, new = (in_currency(each, period.currency) for each in (period.net_price, price))
    off = in_currency(discount.amount if discount else Decimal(0), period.currency)
    granularity = settings.PRORATION_GRANULARITY
    proration = prorate(old, new, period.period, at, period.currency, granularity, discount=off)
    credit = proration.credit if period.pk is None else min(proration.credit, _billed(period))
    charge, off = (new, off) if begins else (proration.charge, proration.discount)
    if discount is not None and discount.uses is not None and not off:
        discount = None  # nothing is used up for nothing
    proration = replace(proration, credit=credit, charge=charge, discount=off, net=charge - off - credit)
    return Quote(period, target, direction, proration, as_utc(at), price, begins, discount=discount)


def with_trial(quote: Quote) -> Quote:
    """What the customer's own upgrade costs instead where it begins the target's trial: nothing."""
    account = quote.period.subscription.account_id
    if quote.direction is not Direction.UPGRADE or not trials.is_offered(account, quote.target, quote.period):
        return quote
    return on_trial(quote, quote.target.trial_days)


def on_trial(quote: Quote, days: int) -> Quote:
    """The same change where it begins a trial of so many days."""
    nothing = in_currency(Decimal(0), quote.proration.currency)
    proration = replace(quote.proration, credit=nothing, charge=nothing, discount=nothing, net=nothing)
    return replace(quote, proration=proration, opens_period=True, discount=None, trial_days=days)


def unused(period: BillingPeriod, at: datetime) -> Decimal:
    """What the rest of an opened period is worth at an instant, in its currency: at most what was billed for it."""
    price = in_currency(period.net_price, period.currency)
    proration = prorate(price, None, period.period, at, period.currency, settings.PRORATION_GRANULARITY)
    return min(proration.credit, _billed(period))


def _billed(period: BillingPeriod) -> Decimal:
    """Net of all credits."""
    return in_currency(InvoiceLine.objects.of_period(period).net(), period.currency)


def opening_quote(account: int, target: Plan, at: datetime, redemption: CouponRedemption | None = None) -> Quote:
    """What it costs an account without a subscription to get one on the target: the full price of a first period.

    Less what the redemption of a coupon takes off it.
    """
    anchor = at.replace(microsecond=0)
    subscription = Subscription(account_id=account, plan=target, anchor=anchor, changed_at=at)
    first = BillingPeriod.of(subscription, 0, nth_period(anchor, target.billed_every, 0), target, Decimal(0))
    return replace(quote_with(redemption, first, target, at), direction=Direction.UPGRADE)


def check_age(at: datetime, now: datetime) -> None:
    """Raises QuoteExpired for a quote of more than 15 minutes ago, or of the future."""
    if at > now:
        raise QuoteExpired(reason="future")
    if now - at > HOLDS_FOR:
        raise QuoteExpired(reason="old")


def limits_of(plan: Plan) -> tuple[object, ...]:
    """What the plan gives, as a digest takes it in."""
    limits = (plan.monthly_token_quota, plan.requests_per_minute, str(plan.quota_window))
    return (plan.pk, plan.name, *limits, *plan.capability_codes())


def digest_of(*facts: object) -> str:
    """Of values whose `repr` says all of them. Hexadecimal, 64 digits."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()
