"""What a plan cost at an instant, and which one is the default."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime
from decimal import Decimal
from functools import cached_property

from billing.models import Plan


class Prices:
    """Gives a plan's list price at an instant, in the plan's currency.

    Where the plan was edited after the instant, the price comes from its history, which is read once a plan.
    """

    def __init__(self) -> None:
        self._edits: dict[int, tuple[list[datetime], list[tuple[Decimal, Decimal | None]]]] = {}

    @cached_property
    def default_plan(self) -> Plan | None:
        """The plan of customers who have not chosen one; None while none is marked."""
        return Plan.objects.default()

    def __call__(self, plan: Plan, at: datetime, kept: Decimal | None = None) -> Decimal:
        """Of a subscription that `kept` a price of before: that one, unless the list price is lower."""
        listed = plan.price if plan.priced_at <= at else self._then(plan, at)[0]
        return listed if kept is None else min(listed, kept)

    def overage(self, plan: Plan, at: datetime) -> Decimal | None:
        """Of 1,000 tokens above the quota; None where the plan sold none."""
        return plan.overage_price if plan.priced_at <= at else self._then(plan, at)[1]

    def _then(self, plan: Plan, at: datetime) -> tuple[Decimal, Decimal | None]:
        if plan.pk not in self._edits:
            edits = list(plan.history.order_by("history_date", "history_id"))
            prices = [(edit.price, edit.overage_price) for edit in edits] or [(plan.price, plan.overage_price)]
            self._edits[plan.pk] = [edit.history_date for edit in edits], prices
        dates, prices = self._edits[plan.pk]
        # At an instant before the history begins, the oldest price in it counts.
        return prices[max(bisect_right(dates, at) - 1, 0)]
