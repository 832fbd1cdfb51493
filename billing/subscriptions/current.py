"""The current subscription of an account: what is in force at an instant, also while its renewal is late.

Computed by the rule of the renewal; nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.catalogue import prices
from billing.invoicing import ledger, taxation
from billing.models import BillingPeriod, CouponRedemption, Plan, Subscription
from billing.models.catalogue.coupons import MOST_PERIODS
from billing.rules import periods
from billing.rules.money import in_currency
from billing.subscriptions import opening
from billing.subscriptions.coupons import discounts
from billing.subscriptions.period_end import rule
from billing.subscriptions.refusals import NoSubscription


@dataclass(frozen=True, slots=True)
class CurrentSubscription:
    """What is in force at an instant. Its plan is the one that the gateway enforces."""

    subscription: Subscription
    """The row, which a late renewal has not brought up to the instant. Without a primary key it follows one that has
    ended, and the renewal is still going to open it."""
    period: BillingPeriod
    """The period that the instant lies in. It has no primary key where the renewal is still going to open it."""
    scheduled_plan: Plan | None
    """None also where the scheduled change is in force already."""
    scheduled_at: datetime | None
    then: Plan | None
    """What the next period is going to be on; None where the subscription ends and nothing follows."""
    then_at_most: Decimal | None
    """What that period costs at most, where a price was kept."""
    unbilled: Decimal
    """What the renewal is still going to bill for periods that have begun, with tax, in the period's currency."""
    redemption: CouponRedemption | None
    """Of a coupon, with what those periods leave of it; it discounts periods to come."""

    @property
    def plan(self) -> Plan:
        return self.period.plan

    @property
    def balance(self) -> Decimal:
        """Owed to the customer, in the period's currency; below 0 by the customer."""
        owed = ledger.balance(self.subscription.account_id, self.period.currency)
        return in_currency(owed, self.period.currency)

    @property
    def cancel_at(self) -> datetime | None:
        """The subscription ends here instead of being renewed: it was canceled, or its trial ends without the payment
        method that it needs."""
        return self.subscription.ends_at

    @property
    def trial_ends_at(self) -> datetime | None:
        """None where the period is no trial."""
        return self.period.ends_at if self.period.is_trial else None

    @property
    def next_invoice_amount(self) -> Decimal:
        """The total of the next period's invoice at present prices, less what the renewal leaves of the balance.

        Net of a coupon, and with the tax of the period's end, as far as its rate is known by now. In the period's
        currency: 0 where what follows is billed in another one.
        """
        # What is unbilled comes first: it uses the balance, or bills what is owed there.
        left = max(self.balance - self.unbilled, Decimal(0)) if self.unbilled else self.balance
        account, price = self.subscription.account_id, self._next_price - self.next_discount
        due = taxation.gross_of(account, self.period.currency, price, self.period.ends_at)
        return in_currency(due - ledger.used_of(left, due), self.period.currency)

    @property
    def next_discount(self) -> Decimal:
        """What a coupon takes off the next period's price, in the present period's currency."""
        off = Decimal(0)
        if self.then is not None and self._next_price and self.redemption is not None and self.redemption.is_active:
            off = self.redemption.coupon.discount_on(self.then, self._next_price)
        return in_currency(off, self.period.currency)

    @property
    def _next_price(self) -> Decimal:
        if self.then is None or self.then.currency != self.period.currency:
            return Decimal(0)
        return self.then.price if self.then_at_most is None else min(self.then.price, self.then_at_most)


def current_subscription(account: int, now: datetime) -> CurrentSubscription:
    """The account's current subscription; one on the default plan is opened on first use. Raises NoSubscription."""
    subscription = opening.get_or_open_subscription(account, now)
    # One statement: a renewal or an upgrade at this moment is seen whole or not at all.
    related = ("plan", "subscription__plan", "subscription__scheduled_plan", "subscription__account")
    rows = BillingPeriod.objects.select_related(*related, "coupon").annotate(**discounts.with_subscription(account))
    last = rows.filter(subscription=subscription).latest("number")
    subscription, redemption = last.subscription, discounts.beside(last)
    price_list = prices.Prices()
    renewed = rule.renewal(subscription, last, now, price_list)
    if renewed.ends_at is not None:
        if renewed.follow_up is None:
            raise NoSubscription
        subscription = renewed.follow_up
    for period in renewed.opened:
        discounts.put_on(period, redemption)
    is_ahead = subscription.scheduled_plan is not None and not renewed.applies_schedule
    scheduled_plan = subscription.scheduled_plan if is_ahead else None
    ends = subscription.ends_at is not None
    return CurrentSubscription(
        subscription=subscription,
        period=renewed.opened[-1] if renewed.opened else last,
        scheduled_plan=scheduled_plan,
        scheduled_at=subscription.scheduled_at if is_ahead else None,
        then=_after_the_end(last.subscription, price_list) if ends else scheduled_plan or renewed.plan,
        then_at_most=None if ends else subscription.scheduled_kept_price if is_ahead else renewed.kept_price,
        unbilled=sum(
            (taxation.gross_of(account, period.currency, period.net_price, now) for period in renewed.opened),
            Decimal(0),
        ),
        redemption=redemption,
    )


def _after_the_end(subscription: Subscription, price_list: prices.Prices) -> Plan | None:
    """Nothing follows the subscription of a deactivated user."""
    return price_list.default_plan if subscription.account.is_active else None


def period_at(account: int, at: datetime, now: datetime, redemption: CouponRedemption | None = None) -> BillingPeriod:
    """The period in which a change at an instant would fall, with the plan and the price that it would have by then.

    Without a primary key it is still to be opened, also in the future: on the scheduled plan, at present prices, with
    the discount of a redemption, which is left with what is left of it by then. Before the first period it is the
    first. A subscription is opened on first use. Raises NoSubscription.
    """
    subscription = opening.get_or_open_subscription(account, now)
    related = ("plan", "subscription__plan", "subscription__scheduled_plan", "subscription__account")
    opened = BillingPeriod.objects.select_related(*related).filter(subscription=subscription).order_by("-number")
    last = opened[0]
    if at < last.ends_at:
        if at >= now:
            return last  # also before it begins: who closes a period early opens the one that changes fall in
        return opened.filter(starts_at__lte=at).first() or opened.reverse()[0]
    return _to_be_opened(last, at, redemption)


def _to_be_opened(last: BillingPeriod, at: datetime, redemption: CouponRedemption | None) -> BillingPeriod:
    """The period of an instant by the renewal's rule, however far ahead; the last one where the calendar ends."""
    subscription = last.subscription
    if (ends_at := subscription.ends_at) is not None:
        follows = rule.ending(subscription, ends_at, ends_at, prices.Prices())
        if follows.follow_up is None:
            raise NoSubscription
        last, subscription = follows.opened[0], follows.follow_up
        discounts.foresee(last, redemption)
        if at < last.ends_at:
            return last
    plan, anchor, anchor_number = subscription.plan, subscription.anchor, subscription.anchor_number
    kept, scheduled = subscription.kept_price, subscription.scheduled_plan
    if scheduled is not None and subscription.scheduled_at is not None and subscription.scheduled_at <= at:
        if scheduled.billed_every != plan.billed_every:
            anchor, anchor_number = subscription.scheduled_at, last.number + 1
        plan, kept = scheduled, subscription.scheduled_kept_price
    try:
        index, _ = periods.period_at(anchor, plan.billed_every, at)
    except ValueError:
        return last
    price_at = prices.Prices()

    def to_be_opened(number: int) -> BillingPeriod:
        period = periods.nth_period(anchor, plan.billed_every, number - anchor_number)
        return BillingPeriod.of(subscription, number, period, plan, price_at(plan, period.start, kept))

    wanted = to_be_opened(anchor_number + index)
    for number in range(last.number + 1, min(wanted.number, last.number + 1 + MOST_PERIODS)):
        if redemption is None or not redemption.periods_left:
            break
        discounts.foresee(to_be_opened(number), redemption)
    discounts.foresee(wanted, redemption)
    return wanted
