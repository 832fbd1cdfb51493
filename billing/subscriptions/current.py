"""A subscription as it stands at an instant, also while the close of its period is late: computed, nothing written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.catalogue import prices
from billing.invoicing import ledger
from billing.models import BillingPeriod, Plan, Subscription
from billing.rules.money import in_currency
from billing.subscriptions import opening, renewal


@dataclass(frozen=True, slots=True)
class CurrentSubscription:
    """The gateway enforces the same plan. `period` has no primary key where the close is still going to open it."""

    subscription: Subscription
    period: BillingPeriod
    scheduled_plan: Plan | None
    scheduled_at: datetime | None
    unbilled: Decimal
    """What the close is still going to bill for periods that have begun."""

    @property
    def plan(self) -> Plan:
        return self.period.plan

    @property
    def balance(self) -> Decimal:
        """Owed to the customer, in the period's currency."""
        owed = ledger.balance(self.subscription.account_id, self.period.currency)
        return in_currency(owed, self.period.currency)

    @property
    def next_invoice_amount(self) -> Decimal:
        """What the invoice of the period after this one would come to at present prices, the balance used."""
        left = max(self.balance - self.unbilled, Decimal(0))
        price = (self.scheduled_plan or self.plan).price
        return in_currency(max(price - left, Decimal(0)), self.period.currency)


def current_subscription(account: int, now: datetime) -> CurrentSubscription:
    """By the rule the close itself goes by. Raises lifecycle.NoDefaultPlan."""
    subscription = opening.get_or_open_subscription(account, now)
    # One statement: a close or an upgrade at this moment is seen whole or not at all.
    related = ("plan", "subscription__plan", "subscription__scheduled_plan")
    last = BillingPeriod.objects.select_related(*related).filter(subscription=subscription).latest("number")
    subscription = last.subscription
    renewed = renewal.renewal(subscription, last, now, prices.Prices())
    unbilled = sum((period.price for period in renewed.opened), Decimal(0))
    is_ahead = subscription.scheduled_plan is not None and not renewed.applies_schedule
    return CurrentSubscription(
        subscription=subscription,
        period=renewed.opened[-1] if renewed.opened else last,
        scheduled_plan=subscription.scheduled_plan if is_ahead else None,
        scheduled_at=subscription.scheduled_at if is_ahead else None,
        unbilled=unbilled,
    )
