"""Which plans an account can get, and how: now, at its period's end, or by staff."""

from __future__ import annotations

from datetime import datetime

from billing.invoicing.review import largest_invoice
from billing.models import BillingPeriod, Plan
from billing.rules.plan_change import Available, PlanTerms, available
from billing.subscriptions import trials
from billing.subscriptions.current import current_subscription
from billing.subscriptions.refusals import NoSubscription


class Offers:
    """What one account is offered at an instant. A subscription is opened on first use."""

    def __init__(self, account: int, now: datetime) -> None:
        self._account = account
        self._held: PlanTerms | None = None
        self._period: BillingPeriod | None = None
        self.is_parked = False
        """Nothing can be changed or bought but by staff."""
        try:
            current = current_subscription(account, now)
        except NoSubscription:
            return
        self._period, self._held, self.is_parked = current.period, current.period.terms, current.subscription.is_parked

    def available(self, plan: Plan) -> Available | None:
        """How the account gets to a plan; None where it is on it, or the plan is not on sale.

        Only staff change a parked subscription, and issue an invoice beyond the bound.
        """
        if not plan.is_on_sale or (self._held is not None and self._held.code == plan.code):
            return None
        if self.is_parked:
            return Available.BY_STAFF
        way = Available.NOW if self._held is None else available(self._held, plan.terms)
        is_too_large = way is Available.NOW and plan.price > largest_invoice(plan.currency)
        return Available.BY_STAFF if is_too_large else way

    def trial_days(self, plan: Plan) -> int:
        """Of the trial that a change made now would begin; 0 where it would begin none."""
        if not plan.trial_days or self.available(plan) is not Available.NOW:
            return 0
        if self._period is None:
            return 0 if trials.had_one(self._account) else plan.trial_days
        return plan.trial_days if trials.is_offered(self._account, plan, self._period) else 0
