"""What a plan cost at an instant."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime
from decimal import Decimal

from billing.models import Plan


class Prices:
    """A plan's price at an instant, from its history where it was edited since; each history is read once."""

    def __init__(self) -> None:
        self._edits: dict[int, tuple[list[datetime], list[Decimal]]] = {}

    def __call__(self, plan: Plan, at: datetime) -> Decimal:
        if plan.priced_at <= at:
            return plan.price
        if plan.pk not in self._edits:
            edits = plan.history.order_by("history_date", "history_id").values_list("history_date", "price")
            self._edits[plan.pk] = [date for date, _ in edits], [price for _, price in edits] or [plan.price]
        dates, prices = self._edits[plan.pk]
        # Before its first mention a plan cost what it cost then.
        return prices[max(bisect_right(dates, at) - 1, 0)]
