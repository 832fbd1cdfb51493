"""How many calls were refused, and why."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from usage.models import RefusedCalls


class Refused(NamedTuple):
    """On one UTC date; `feature` is "" of calls of no feature, `reason` a problem's code, or "overage_cap"."""

    date: date
    feature: str
    reason: str
    calls: int


def refusals(account: int, first: date, last: date) -> list[Refused]:
    """From the first to the last UTC date, both included; the newest date first, of a date the most calls first.

    Lags the calls by some seconds. One query.
    """
    rows = RefusedCalls.objects.filter(account_id=account, date__range=(first, last))
    rows = rows.order_by("-date", "-calls", "reason", "feature")
    return [Refused(*row) for row in rows.values_list("date", "feature", "reason", "calls")]
