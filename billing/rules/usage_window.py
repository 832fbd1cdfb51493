"""The window that a quota counts in: the calendar month, or the month counted from the subscription's anchor.

A plan's kind of window is fixed once it was sold. A change between plans of two kinds acts at the next window, so that
no window is left before its end (law L9).
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from billing.rules.periods import MONTH, Period, month_window, period_at

CALENDAR_MONTH, BILLING_PERIOD = "calendar_month", "billing_period"


class WindowHolder(Protocol):
    """A subscription, as a row or as facts: the kind of its former plan holds until an instant, whatever its plan's."""

    @property
    def anchor(self) -> datetime: ...
    @property
    def former_quota_window(self) -> str: ...
    @property
    def former_quota_window_until(self) -> datetime | None: ...


def quota_window(kind: str, anchor: datetime, now: datetime) -> Period:
    """The window of a kind that contains `now`."""
    return period_at(anchor, MONTH, now)[1] if kind == BILLING_PERIOD else month_window(now)


def kind_in_force(holder: WindowHolder, kind: str, now: datetime) -> str:
    """The kind of window at `now` for the holder of a plan of `kind`."""
    if holder.former_quota_window_until is not None and now < holder.former_quota_window_until:
        return holder.former_quota_window
    return kind


def kept_window(holder: WindowHolder, kind: str, last: datetime) -> tuple[str, datetime]:
    """The kind of window that a change of plan leaves in force, and the end of that window, until which it holds.

    `kind` is that of the plan before the change, and `last` an instant at which the holder was still on it.
    """
    kept = kind_in_force(holder, kind, last)
    return kept, quota_window(kept, holder.anchor, last).end
