"""Tokens on top of a quota: which are spent first, and what stays of a top-up that has lapsed.

A top-up belongs to the usage window in which it starts, and ends with it at the latest. Its tokens are spent before
those of the plan, and of several the one that lapses first is spent first. What was spent of it when it lapses counts
until the window ends, as the usage that it paid for does; so a lapse takes nothing of the plan's tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from billing.rules.periods import Period


@dataclass(frozen=True, slots=True)
class TopUp:
    """Tokens on top of the quota; without `expires_at` until the window ends. `row` is its key in PostgreSQL."""

    tokens: int
    starts_at: datetime
    expires_at: datetime | None = None
    spent: int | None = None
    """Tokens used of it when it lapsed; None until somebody has counted them."""
    count_again_at: datetime | None = None
    """`spent` is what is known so far, and from then on it is to be counted once more."""
    row: int = 0

    def has_lapsed(self, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def is_uncounted(self, now: datetime) -> bool:
        """Whether it has lapsed, and what was spent of it has to be counted."""
        is_due = self.spent is None or (self.count_again_at is not None and self.count_again_at <= now)
        return is_due and self.has_lapsed(now)


def tokens_on_top(top_ups: Iterable[TopUp], window: Period, now: datetime) -> int:
    """What the top-ups add to the quota of the window at an instant; of what is not counted yet, nothing is spent."""
    started = (top_up for top_up in of_window(top_ups, window) if top_up.starts_at <= now)
    return sum((top_up.spent or 0) if top_up.has_lapsed(now) else top_up.tokens for top_up in started)


def of_window(top_ups: Iterable[TopUp], window: Period) -> list[TopUp]:
    """Those that belong to the window."""
    return [top_up for top_up in top_ups if window.contains(top_up.starts_at)]


def edges_until(top_ups: Iterable[TopUp], now: datetime) -> list[datetime]:
    """The instants up to `now` at which one of the top-ups begins or lapses, in order."""
    both = {edge for top_up in top_ups for edge in (top_up.starts_at, top_up.expires_at) if edge is not None}
    return sorted(edge for edge in both if edge <= now)


def spent_of(top_ups: Sequence[TopUp], used_until: Mapping[datetime, int]) -> list[int]:
    """Tokens spent of each of a window's top-ups, given the tokens used in the window before each of their edges."""
    left = [top_up.tokens for top_up in top_ups]
    in_order = sorted(range(len(top_ups)), key=lambda at: _lapse(top_ups[at]))
    for (since, before), (_, after) in pairwise(sorted(used_until.items())):
        used = max(after - before, 0)
        for at in in_order:
            if top_ups[at].starts_at <= since and not top_ups[at].has_lapsed(since):
                taken = min(left[at], used)
                left[at] -= taken
                used -= taken
    return [top_up.tokens - rest for top_up, rest in zip(top_ups, left, strict=True)]


def _lapse(top_up: TopUp) -> tuple[bool, datetime]:
    return top_up.expires_at is None, top_up.expires_at or top_up.starts_at
