"""What one API key and one run of an agent may use, beside the limits of their account. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from billing.rules.instants import to_ms
from billing.rules.periods import Period
from ratelimit.limits import MINUTE_MS, RUN_LIFE_MS, Limit, Part

KEY, RUN = "key", "run"
"""Names of the policies, as headers and refusals have them."""


class Budgets(NamedTuple):
    """None of each: no budget. Days and months are those of the calendar, in UTC."""

    requests_per_minute: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    tokens_per_run: int | None = None
    calls_per_run: int | None = None
    open_per_run: int | None = None
    """Reservations of a run that are open at once."""
    repeats_per_run: int | None = None
    """How often the same request may come in a row in one run."""

    def smaller(self, other: Budgets) -> Budgets:
        """Of each budget the smaller one."""
        if other is NONE or self is NONE:
            return self if other is NONE else other
        pairs = zip(self, other, strict=True)
        return Budgets(*(min(known) if (known := [n for n in pair if n is not None]) else None for pair in pairs))

    @property
    def of_the_key(self) -> bool:
        return any(maximum is not None for maximum in self[: Part.RUN_TOKENS])

    @property
    def of_runs(self) -> bool:
        return any(maximum is not None for maximum in self[Part.RUN_TOKENS :])


NONE = Budgets()


def day_of(now: datetime) -> Period:
    """The day in UTC, as the window of a budget."""
    start = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Period(start, start + timedelta(days=1))


def month_of(now: datetime) -> Period:
    """The calendar month in UTC, as the window of a budget."""
    start = day_of(now).start.replace(day=1)
    return Period(start, (start + timedelta(days=32)).replace(day=1))


def key_limits(budgets: Budgets, now: datetime) -> dict[Part, Limit]:
    """What calls of the key are judged by at `now`, and until its day ends."""
    limits = {}
    if budgets.requests_per_minute is not None:
        limits[Part.MINUTE] = Limit(KEY, budgets.requests_per_minute, MINUTE_MS)
    for part, maximum, window in (
        (Part.DAY, budgets.tokens_per_day, day_of(now)),
        (Part.MONTH, budgets.tokens_per_month, month_of(now)),
    ):
        if maximum is not None:
            starts_at_ms = to_ms(window.start)
            limits[part] = Limit(KEY, maximum, to_ms(window.end) - starts_at_ms, starts_at_ms)
    return limits


def run_limits(budgets: Budgets) -> Mapping[Part, Limit]:
    """What the calls of each run are judged by."""
    return {
        part: Limit(RUN, maximum, RUN_LIFE_MS)
        for part, maximum in zip(Part, budgets, strict=True)
        if part >= Part.RUN_TOKENS and maximum is not None
    }
