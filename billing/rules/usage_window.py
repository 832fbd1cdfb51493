"""The window a quota counts in: the calendar month, or the billing month from the anchor."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from billing.rules.periods import MONTH, Period, month_window, period_at

CALENDAR_MONTH, BILLING_PERIOD = "calendar_month", "billing_period"


class WindowHolder(Protocol):
    """A subscription, as a row or as facts. `former_quota_window` holds until its instant, whatever the plan says."""

    @property
    def anchor(self) -> datetime: ...
    @property
    def former_quota_window(self) -> str: ...
    @property
    def former_quota_window_until(self) -> datetime | None: ...


class WindowOffer(Protocol):
    """A plan, as a row or as an offer. Its former kind holds until the window ends in which the plan was edited."""

    @property
    def quota_window(self) -> str: ...
    @property
    def former_quota_window(self) -> str: ...
    @property
    def quota_window_changed_at(self) -> datetime | None: ...


def quota_window(kind: str, anchor: datetime, now: datetime) -> Period:
    """The usage window of a kind: the calendar month in UTC, or the month counted from the subscription's anchor."""
    return period_at(anchor, MONTH, now)[1] if kind == BILLING_PERIOD else month_window(now)


def kept_window(holder: WindowHolder, plan: WindowOffer, last: datetime) -> tuple[str, datetime]:
    """The kind of window that a change of plan leaves in force, and until when; `last` is on the old plan."""
    kind = _kind_on(holder, plan, last)
    return kind, quota_window(kind, holder.anchor, last).end


def _kind_on(holder: WindowHolder, plan: WindowOffer, now: datetime) -> str:
    if holder.former_quota_window_until is not None and now < holder.former_quota_window_until:
        return holder.former_quota_window
    if plan.quota_window_changed_at is not None:
        cut = quota_window(plan.former_quota_window, holder.anchor, plan.quota_window_changed_at)
        if now < cut.end:
            return plan.former_quota_window
    return plan.quota_window
