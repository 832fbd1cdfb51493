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
    for limit, used, standing_wait_ms in standings:
        name, maximum, window_ms, starts_at_ms = limit
        if maximum is None:
            continue
        remaining, wait_ms = max(maximum - used, 0), standing_wait_ms
        if maximum == 0:
            wait_ms = None
        elif starts_at_ms is not None:
            wait_ms = max(starts_at_ms + window_ms - now_ms, 0)
        policies.append(f'"{name}";q={maximum};w={window_ms // 1000}')
        states.append(f'"{name}";r={remaining}' + ("" if wait_ms is None else f";t={whole_seconds(wait_ms)}"))
        if not headers:
            headers = {
                "X-RateLimit-Limit": str(maximum),
                "X-RateLimit-Remaining": str(remaining),
                "X-RateLimit-Reset": str(whole_seconds(now_ms + (wait_ms or 0))),
            }
    if policies:
        headers["RateLimit-Policy"] = ", ".join(policies)
        headers["RateLimit"] = ", ".join(states)
    return headers
