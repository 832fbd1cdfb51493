"""Standings as response headers: RateLimit-* (draft-ietf-httpapi-ratelimit-headers-10) and X-RateLimit-*."""

from __future__ import annotations

from collections.abc import Sequence

from ratelimit.limits import BudgetStanding, Limit, Part, Standing, whole_seconds

OVERAGE = "overage"
"""The policy of what is sold on top of a quota."""
Headers = dict[str, tuple[str, str]]
"""Names as they are written and values, under the names in lower case: as Django keeps a response's."""


class RateLimitHeaders:
    """The headers of some limits; what is the same in every response is written once.

    Unlimited policies are left out; with none left there is no header. `X-RateLimit-*` describe the first limited
    policy, which is the minute where there is one.
    """

    __slots__ = ("_limited", "_unchanging")

    def __init__(self, limits: Sequence[Limit]) -> None:
        limited = [(position, limit) for position, limit in enumerate(limits) if limit.maximum is not None]
        self._limited = [
            (position, f'{", " if number else ""}"{limit.name}";r=', limit.maximum or 0, _end_of(limit))
            for number, (position, limit) in enumerate(limited)
        ]
        self._unchanging: Headers = {}
        if limited:
            policies = [f'"{limit.name}";q={limit.maximum};w={limit.window_seconds}' for _, limit in limited]
            self._unchanging["x-ratelimit-limit"] = "X-RateLimit-Limit", str(limited[0][1].maximum)
            self._unchanging["ratelimit-policy"] = "RateLimit-Policy", ", ".join(policies)

    def write(
        self, headers: Headers, standings: Sequence[Standing], now_ms: int, waits_ms: Sequence[int | None] | None = None
    ) -> None:
        """`t`: seconds until more is available; 0 when a sliding window is unused, absent when waiting is in vain.

        `waits_ms` says it of each standing where the limits themselves change at an instant.
        """
        headers.update(self._unchanging)
        states = ""
        for position, text, maximum, ends_at_ms in self._limited:
            _, used, wait_ms = standings[position]
            remaining = maximum - used if used < maximum else 0
            if waits_ms is not None:
                wait_ms = waits_ms[position]
            elif not maximum:
                wait_ms = None
            elif ends_at_ms is not None:
                wait_ms = ends_at_ms - now_ms if ends_at_ms > now_ms else 0
            if not states:
                headers["x-ratelimit-remaining"] = "X-RateLimit-Remaining", str(remaining)
                headers["x-ratelimit-reset"] = "X-RateLimit-Reset", str(whole_seconds(now_ms + (wait_ms or 0)))
            states += f"{text}{remaining}" if wait_ms is None else f"{text}{remaining};t={whole_seconds(wait_ms)}"
        if states:
            headers["ratelimit"] = "RateLimit", states


class WithOverage(RateLimitHeaders):
    """The headers where the last limit is a quota of which `included` cost nothing extra: what is sold on top stands
    apart, as a policy of its own.
    """

    __slots__ = ("_included", "_sold")

    def __init__(self, limits: Sequence[Limit], included: int) -> None:
        *others, whole = limits
        self._included = whole._replace(maximum=included)
        self._sold = whole._replace(name=OVERAGE, maximum=(whole.maximum or 0) - included)
        super().__init__([*others, self._included, self._sold])

    def write(
        self, headers: Headers, standings: Sequence[Standing], now_ms: int, waits_ms: Sequence[int | None] | None = None
    ) -> None:
        *others, (_, used, wait_ms) = standings
        above = max(used - (self._included.maximum or 0), 0)
        parts = Standing(self._included, used, wait_ms), Standing(self._sold, above, wait_ms)
        super().write(headers, [*others, *parts], now_ms, None if waits_ms is None else [*waits_ms, waits_ms[-1]])


def write_budgets(headers: Headers, budgets: Sequence[BudgetStanding]) -> None:
    """Add the policies of budgets, `"key"` and `"run"`: of each the tightest, which is the one that refuses, if any."""
    tightest: dict[str, BudgetStanding] = {}
    for budget in budgets:
        name = budget.standing.limit.name
        if budget.part is not Part.REPEATS or budget.refuses:
            tightest[name] = min(tightest.get(name, budget), budget, key=_how_tight)
    policies, states = [], []
    for name, (_, standing, _) in tightest.items():
        limit, wait_ms = standing.limit, standing.wait_ms if standing.limit.maximum else None
        policies.append(f'"{name}";q={limit.maximum};w={limit.window_seconds}')
        states.append(f'"{name}";r={standing.remaining}' + ("" if wait_ms is None else f";t={whole_seconds(wait_ms)}"))
    for title, values in (("RateLimit-Policy", policies), ("RateLimit", states)) if policies else ():
        _, before = headers.get(title.lower(), (title, ""))
        headers[title.lower()] = title, ", ".join([before, *values] if before else values)


def _how_tight(budget: BudgetStanding) -> tuple[bool, int]:
    return not budget.refuses, budget.standing.remaining or 0


def _end_of(limit: Limit) -> int | None:
    return None if limit.starts_at_ms is None else limit.ends_at_ms


def ratelimit_headers(standings: Sequence[Standing], now_ms: int) -> dict[str, str]:
    """All of them for an identified caller, by name."""
    headers: Headers = {}
    RateLimitHeaders([standing.limit for standing in standings]).write(headers, standings, now_ms)
    return dict(headers.values())
