"""Standings as response headers: RateLimit-* (draft-ietf-httpapi-ratelimit-headers-10) and X-RateLimit-*."""

from __future__ import annotations

from collections.abc import Iterable

from ratelimit.limits import Standing, whole_seconds


def ratelimit_headers(standings: Iterable[Standing], now_ms: int) -> dict[str, str]:
    """The headers for an identified caller. Unlimited policies are left out; with none left there is no header.

    `t` is seconds until more is available: 0 when nothing of a sliding window is used, absent when waiting cannot help.
    `X-RateLimit-*` describe the first limited policy, which is the minute where there is one.
    """
    limited = [standing for standing in standings if standing.limit.maximum is not None]
    if not limited:
        return {}
    policies = [f'"{s.limit.name}";q={s.limit.maximum};w={s.limit.window_seconds}' for s in limited]
    first = limited[0]
    return {
        "RateLimit-Policy": ", ".join(policies),
        "RateLimit": ", ".join(_state(standing, now_ms) for standing in limited),
        "X-RateLimit-Limit": str(first.limit.maximum),
        "X-RateLimit-Remaining": str(first.remaining),
        "X-RateLimit-Reset": str(whole_seconds(now_ms + (_wait_ms(first, now_ms) or 0))),
    }


def _wait_ms(standing: Standing, now_ms: int) -> int | None:
    if standing.limit.maximum == 0:
        return None
    if standing.limit.starts_at_ms is None:
        return standing.wait_ms
    return max(standing.limit.ends_at_ms - now_ms, 0)


def _state(standing: Standing, now_ms: int) -> str:
    wait_ms = _wait_ms(standing, now_ms)
    wait = "" if wait_ms is None else f";t={whole_seconds(wait_ms)}"
    return f'"{standing.limit.name}";r={standing.remaining}{wait}'
