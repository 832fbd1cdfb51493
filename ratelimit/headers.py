"""Standings as response headers: RateLimit-* (draft-ietf-httpapi-ratelimit-headers-10) and X-RateLimit-*."""

from __future__ import annotations

from collections.abc import Iterable

from ratelimit.limits import Standing, whole_seconds


def ratelimit_headers(standings: Iterable[Standing], now_ms: int) -> dict[str, str]:
    """The headers for an identified caller. Unlimited policies are left out; with none left there is no header.

    `t` is seconds until more is available: 0 when nothing of a sliding window is used, absent when waiting cannot help.
    `X-RateLimit-*` describe the first limited policy, which is the minute where there is one.
    """
    policies: list[str] = []
    states: list[str] = []
    headers: dict[str, str] = {}
    for standing in standings:
        limit, remaining, wait_ms = standing.limit, standing.remaining, standing.wait_ms
        if remaining is None:
            continue
        if limit.maximum == 0:
            wait_ms = None
        elif limit.starts_at_ms is not None:
            wait_ms = max(limit.ends_at_ms - now_ms, 0)
        policies.append(f'"{limit.name}";q={limit.maximum};w={limit.window_seconds}')
        states.append(f'"{limit.name}";r={remaining}' + ("" if wait_ms is None else f";t={whole_seconds(wait_ms)}"))
        if not headers:
            headers = {
                "X-RateLimit-Limit": str(limit.maximum),
                "X-RateLimit-Remaining": str(remaining),
                "X-RateLimit-Reset": str(whole_seconds(now_ms + (wait_ms or 0))),
            }
    if policies:
        headers["RateLimit-Policy"] = ", ".join(policies)
        headers["RateLimit"] = ", ".join(states)
    return headers
