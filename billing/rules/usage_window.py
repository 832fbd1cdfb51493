"""The window that a quota counts in: the calendar month, or the month counted from the subscription's anchor.

Windows of one account follow each other and never overlap, whatever plans it had (law L9), so that nothing counts in
two of them. A plan's kind of window is fixed once it was sold. An upgrade leaves the present window to its end, and the
first window of another kind begins only there. What follows at the end of a billing period begins a window, since the
new period is paid and has the tokens of its plan. So does a change at once from an unlimited plan, whose tokens nobody
counted against a quota, to a limited one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from billing.rules.periods import MONTH, Period, month_window, period_at

CALENDAR_MONTH, BILLING_PERIOD = "calendar_month", "billing_period"


class WindowHolder(Protocol):
    """A subscription, as a row or as facts, with the window in which its plan was last changed: `[from, until)`."""

    @property
    def anchor(self) -> datetime: ...
    @property
    def former_quota_window_from(self) -> datetime | None: ...
    @property
    def former_quota_window_until(self) -> datetime | None: ...


class WindowedPlan(Protocol):
    """A plan, as a row or as an offer."""

    @property
    def quota_window(self) -> str: ...
    @property
    def monthly_token_quota(self) -> int | None: ...


def quota_window(kind: str, anchor: datetime, now: datetime) -> Period:
    """The window of a kind that contains `now`."""
    return period_at(anchor, MONTH, now)[1] if kind == BILLING_PERIOD else month_window(now)


def window_on(holder: WindowHolder, plan: WindowedPlan, now: datetime) -> Period:
    """The window in force at `now` for the holder of a plan."""
    since, until = holder.former_quota_window_from, holder.former_quota_window_until
    if since is not None and until is not None and since <= now < until:
        return Period(since, until)
    window = quota_window(plan.quota_window, holder.anchor, now)
    return Period(until, window.end) if until is not None and window.contains(until) and until <= now else window


def kept_window(
    holder: WindowHolder,
    plan: WindowedPlan,
    target: WindowedPlan,
    at: datetime,
    *,
    with_period: bool = False,
    anchor: datetime | None = None,
) -> tuple[datetime | None, datetime | None]:
    """The window in which a change from `plan` to `target` at an instant falls: from, and until when it holds.

    A change `with_period`, at the end of a billing period, ends it. So does one from unlimited to limited, unless the
    plan was changed in this window before: what was used of a quota then must not be given again. `anchor` is where
    billing periods are counted from afterwards, if that moves: after a trial, the window of a paid period begins there.
    """
    since, until = holder.former_quota_window_from, holder.former_quota_window_until
    paid_from = anchor if target.quota_window == BILLING_PERIOD else None
    is_same_kind = plan.quota_window == target.quota_window
    if is_same_kind and paid_from is None and plan.monthly_token_quota is target.monthly_token_quota is None:
        return since, until
    window = window_on(holder, plan, at - timedelta.resolution)
    ends = at.replace(microsecond=0)  # windows begin at whole seconds
    was_changed = until is not None and at < until
    leads_to_a_quota = target.monthly_token_quota is not None or is_same_kind
    counts_anew = plan.monthly_token_quota is None and leads_to_a_quota and not was_changed
    holds_until = ends if (with_period or counts_anew) and ends > window.start else window.end
    return window.start, min(holds_until, paid_from) if paid_from and at < paid_from else holds_until
