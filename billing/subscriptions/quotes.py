"""What a change of plan costs, and how long that holds: one quote for preview, upgrade and staff."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings

from billing.invoicing import ledger, taxation
from billing.invoicing.bills import Bill, Line
from billing.invoicing.ledger import Kind
from billing.models import BillingPeriod, CreditNote, Invoice, InvoiceLine, Plan, Subscription
from billing.rules.money import in_currency
from billing.rules.periods import Period, as_utc, nth_period
from billing.rules.plan_change import Direction, IntervalMismatch, decide, opens_period
from billing.rules.proration import Proration, prorate
from billing.rules.refused import Refused
from billing.subscriptions.current import period_at
from billing.subscriptions.refusals import NoSubscription, QuoteExpired

HOLDS_FOR = timedelta(minutes=15)


class InvalidCycle(Refused, ValueError):
    """The billing cycle that was asked about is none: it ends before its `start`, or is too short to count by day."""


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

    @property
    def current_cost(self) -> Decimal:
        """For the whole period, as it was sold."""
        return in_currency(self.period.price, self.period.currency)

    @property
    def target_cost(self) -> Decimal:
        """For the whole period."""
        return in_currency(self.price, self.period.currency)

    def bill(self, now: datetime, begun: BillingPeriod | None = None) -> Bill:
        """What the change is billed as, with tax as of an instant. `begun` is the period that it begins."""
        period, target, credit, charge = self.period, self.target, self.proration.credit, self.proration.charge
        start = max(now, period.starts_at)
        rest = Period(start, period.ends_at) if start < period.ends_at else period.period
        if self.opens_period:
            new = Line(Kind.BASE, target.name, charge, begun.period if begun else rest, begun)
        else:
            new = Line(Kind.CHARGE, f"Remaining time on {target.name}", charge, rest, period)
        lines = [Line(Kind.CREDIT, f"Unused time on {period.plan.name}", -credit, rest, period), new]
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
            (in_currency(bill.tax, currency), in_currency(bill.gross, currency)),
            limits_of(self.period.plan),
            limits_of(self.target),
            in_currency(ledger.balance(subscription.account_id, currency), currency),
            [in_currency(invoice.due, currency) for invoice in open_invoices],
        )

    def check_unchanged(self, now: datetime, digest: str | None = None) -> None:
        """Raises QuoteExpired where what was shown at `at` is not what holds now.

        With the digest that was shown, by comparing it. Without, by what was changed after `at`: the price, the
        subscription, what decides about its tax, or an invoice that was credited or voided. Another rate of tax may
        also have come into force in between.
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
        if taxation.changed_since(subscription.account_id, self.at):
            raise QuoteExpired(reason="tax")
        credited = CreditNote.objects.filter(invoice__subscription=subscription, issued_at__gt=self.at)
        if credited.exists() or subscription.invoices.filter(voided_at__gt=self.at).exists():
            raise QuoteExpired(reason="credit")


def quote(period: BillingPeriod, target: Plan, at: datetime, kept_price: Decimal | None = None) -> Quote:
    """What a change from the period's plan to the target costs at an instant. Raises OnlyAtPeriodEnd.

    The target counts at its list price, unless a lower one is kept. The credit is at most what was billed for the
    period net of earlier credits.
    """
    direction = decide(period.terms, target.terms)
    begins = opens_period(period.terms, target.terms, direction)
    price = target.price if kept_price is None else min(target.price, kept_price)
    old, new = (in_currency(each, period.currency) for each in (period.price, price))
    proration = prorate(old, new, period.period, at, period.currency, settings.PRORATION_GRANULARITY)
    credit = proration.credit if period.pk is None else min(proration.credit, _billed(period))
    charge = new if begins else proration.charge
    proration = replace(proration, credit=credit, charge=charge, net=charge - credit)
    return Quote(period, target, direction, proration, as_utc(at), price, begins)


def unused(period: BillingPeriod, at: datetime) -> Decimal:
    """What the rest of an opened period is worth at an instant, in its currency: at most what was billed for it."""
    price = in_currency(period.price, period.currency)
    proration = prorate(price, None, period.period, at, period.currency, settings.PRORATION_GRANULARITY)
    return min(proration.credit, _billed(period))


def _billed(period: BillingPeriod) -> Decimal:
    """Net of all credits."""
    return in_currency(InvoiceLine.objects.of_period(period).net(), period.currency)


def opening_quote(account: int, target: Plan, at: datetime) -> Quote:
    """What it costs an account without a subscription to get one on the target: the full price of a first period."""
    anchor = at.replace(microsecond=0)
    subscription = Subscription(account_id=account, plan=target, anchor=anchor, changed_at=at)
    first = BillingPeriod.of(subscription, 0, nth_period(anchor, target.billed_every, 0), target, Decimal(0))
    return replace(quote(first, target, at), direction=Direction.UPGRADE)


def check_age(at: datetime, now: datetime) -> None:
    """Raises QuoteExpired for a quote of more than 15 minutes ago, or of the future."""
    if at > now:
        raise QuoteExpired(reason="future")
    if now - at > HOLDS_FOR:
        raise QuoteExpired(reason="old")


def calculate_proration(
    account: int,
    target: Plan,
    now: datetime,
    *,
    current: Plan | None = None,
    cycle_start: datetime | None = None,
    cycle_end: datetime | None = None,
    at: datetime | None = None,
) -> Quote:
    """A quote as of `at` (now unless given) for the account's period of then, or for a plan and a cycle that are given.

    A `current` that is given counts at its list price; the account's own plan at the price its period was sold for.
    Of the own period and plan the amounts are those that a change at the instant bills, as far as is known now. Writes
    nothing but the subscription of an account that has none yet. Raises InvalidCycle, OnlyAtPeriodEnd.
    """
    try:
        period = period_at(account, as_utc(at or now), now)
    except NoSubscription:
        period = opening_quote(account, target, as_utc(at or now)).period
        if current is None and cycle_start is cycle_end is None:
            return opening_quote(account, target, as_utc(at or now))
    cycle = _cycle(cycle_start or period.starts_at, cycle_end or period.ends_at)
    if current is not None and current.billed_every != target.billed_every:
        raise IntervalMismatch(
            target=target.code,
            current=current.code,
            target_interval=target.billed_every,
            interval=current.billed_every,
        )
    if current is not None or cycle != period.period:
        plan, price = (period.plan, period.price) if current is None else (current, current.price)
        period = BillingPeriod.of(period.subscription, period.number, cycle, plan, price)
    return quote(period, target, at or now)


def _cycle(start: datetime, end: datetime) -> Period:
    if start >= end:
        raise InvalidCycle("cycle_ends_first", start=start, end=end)
    cycle = Period(start, end)
    if cycle.days_total == 0 and settings.PRORATION_GRANULARITY == "day":
        raise InvalidCycle("cycle_within_a_day")
    return cycle


def limits_of(plan: Plan) -> tuple[object, ...]:
    """What the plan gives, as a digest takes it in."""
    limits = (plan.monthly_token_quota, plan.requests_per_minute, str(plan.quota_window))
    return (plan.pk, plan.name, *limits, *plan.capability_codes())


def digest_of(*facts: object) -> str:
    """Of values whose `repr` says all of them. Hexadecimal, 64 digits."""
    return hashlib.sha256(repr(facts).encode()).hexdigest()
