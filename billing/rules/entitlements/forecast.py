"""What will be used of a usage window at the present pace, and when its quota ends.

The pace is that of the last seven UTC dates, today included, as far as they lie in the window. A window that began less
than a day ago counts as a day old: nobody is alarmed by the first minutes of a month. Where the quota has hardly left
the tokens of a call, the seven dates end with the last one on which something was used: later calls were refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from billing.rules.entitlements.entitlement import Entitlement, Facts, entitle, stretches
from billing.rules.entitlements.plan_offers import PlanOffer
from billing.rules.instants import from_ms
from billing.rules.periods import Period
from billing.rules.tokens.top_ups import TopUp, edges_until, of_window, spent_of

MEASURED_DAYS = 7
DAY = timedelta(days=1)


class DayUsage(NamedTuple):
    """Tokens and calls of a UTC date."""

    tokens: int
    calls: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """Of the present usage window, if calls go on at the present pace."""

    tokens: int
    """Used by the window's end, whatever the quota: what a plan would have to include."""
    ends_at: datetime
    """The window's end; a scheduled change may bring it forward."""
    included: int | None
    """Tokens that cost nothing extra, as the window ends; None: all of them."""
    included_until: datetime | None
    """When the tokens end that cost nothing extra; the present instant where they have; None: not in this window."""
    runs_out_at: datetime | None
    """When the quota ends, with what is sold above it, and calls are refused; likewise."""


class _Pace(NamedTuple):
    """So many tokens in so long."""

    used: int
    now: datetime
    tokens: int
    span: timedelta

    def used_at(self, at: datetime) -> int:
        return self.used + self.tokens * max(at - self.now, timedelta()) // self.span

    def reached_at(self, level: int, since: datetime, until: datetime) -> datetime | None:
        """When so much is used, within `[since, until)`; `since` where it was before; None: not by then."""
        if self.used_at(since) >= level:
            return since
        if not self.tokens:
            return None
        at = self.now - (self.span * (self.used - level) // self.tokens)  # rounded up
        return at if at < until else None


def forecast(
    facts: Facts, plans: Mapping[str, PlanOffer], used: int, days: Mapping[date, DayUsage], now: datetime
) -> Forecast | None:
    """From what is `used` of the present window and the `days` in it; None where nothing was used, so there is no pace.

    What is known to begin or end counts: overrides, top-ups, a scheduled change. What a top-up will have given when it
    lapses is estimated at the same pace.
    """
    present = entitle(facts, plans, now)
    if used <= 0 and not any(day.tokens for day in days.values()):
        return None
    pace = _pace(present, used, days, now)
    facts = replace(facts, top_ups=_with_spent(facts.top_ups, present.window, days, pace))
    ahead = [stretch for stretch in stretches(facts, plans, now) if from_ms(stretch.begins_ms) < present.window.end]
    ends_at, parts = present.window.end, list[tuple[datetime, datetime, Entitlement]]()
    for stretch, following in zip(ahead, [*ahead[1:], None], strict=True):
        begins = max(from_ms(stretch.begins_ms), now)
        if stretch.entitlement.window.start != present.window.start:
            ends_at = begins
            break
        parts.append((begins, from_ms(following.begins_ms) if following else ends_at, stretch.entitlement))
    return Forecast(
        tokens=pace.used_at(ends_at),
        ends_at=ends_at,
        included=parts[-1][2].included,
        included_until=_first([(since, until, one.included) for since, until, one in parts], pace),
        runs_out_at=_first([(since, until, one.quota) for since, until, one in parts], pace),
    )


def _pace(present: Entitlement, used: int, days: Mapping[date, DayUsage], now: datetime) -> _Pace:
    used_dates = [day for day, usage in days.items() if usage.tokens > 0]
    until = now
    if used_dates and _is_spent(present.quota, used, days):
        until = min(now, _midnight(max(used_dates)) + DAY)
    first = (until - timedelta.resolution).date() - timedelta(days=MEASURED_DAYS - 1)
    start = present.window.start
    since = max(_midnight(first), start)
    tokens = sum(usage.tokens for day, usage in days.items() if since <= _midnight(day) < until)
    if since == start:  # of a date on which the window began later than at midnight only its counter has the part
        tokens = max(tokens, used)
    return _Pace(used, now, tokens, max(until - since, DAY))


def _is_spent(quota: int | None, used: int, days: Mapping[date, DayUsage]) -> bool:
    """Whether what is left is less than what a call of these days cost on average."""
    tokens, calls = (sum(numbers) for numbers in zip(*days.values(), strict=True))
    return quota is not None and (quota - used) * max(calls, 1) < tokens


def _with_spent(
    top_ups: Sequence[TopUp], window: Period, days: Mapping[date, DayUsage], pace: _Pace
) -> tuple[TopUp, ...]:
    """The top-ups, those of the window that lapse within it with what will have been spent of them by then."""
    here = of_window(top_ups, window)
    lapsing = [top_up for top_up in here if top_up.expires_at is not None and not top_up.has_lapsed(pace.now)]
    if not lapsing:
        return tuple(top_ups)
    used_until = {edge: _used_before(edge, days, pace) for edge in edges_until(here, window.end)}
    spent = dict(zip(here, spent_of(here, used_until), strict=True))
    return tuple(replace(one, spent=spent[one], count_again_at=None) if one in lapsing else one for one in top_ups)


def _used_before(at: datetime, days: Mapping[date, DayUsage], pace: _Pace) -> int:
    """Tokens used of the window before an instant, those of a date spread over it evenly."""
    if at >= pace.now:
        return pace.used_at(at)
    later = 0
    for day, usage in days.items():
        begins, ends = _midnight(day), min(_midnight(day) + DAY, pace.now)
        if at <= begins:  # also of a date that begins now
            later += usage.tokens
        elif at < ends:
            later += usage.tokens * (ends - at) // (ends - begins)
    return max(pace.used - later, 0)


def _first(levels: Sequence[tuple[datetime, datetime, int | None]], pace: _Pace) -> datetime | None:
    """When the pace first reaches the level of a stretch."""
    for since, until, level in levels:
        if level is not None and (at := pace.reached_at(level, since, until)) is not None:
            return at
    return None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
