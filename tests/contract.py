"""What the HTTP contract says of every response: problems, headers, and how they read as Structured Fields."""

from __future__ import annotations

from typing import Any

import http_sf

PROBLEM = {"type", "title", "status", "detail", "code"}
WAY_UP = {"current_plan", "suggested_plan", "upgrade_url"}
QUOTA_MEMBERS = (
    PROBLEM
    | WAY_UP
    | {
        "violated-policies",
        "quota",
        "tokens_used",
        "tokens_remaining",
        "overage",
        "cost",
        "resets_at",
        "retry_after",
    }
)
MINUTE_MEMBERS = PROBLEM | WAY_UP | {"violated-policies", "limit", "retry_after"}
QUOTA_SENTENCE = "Monthly quota exceeded. Please upgrade your plan."
QUOTA_TYPE = "https://iana.org/assignments/http-problem-types#quota-exceeded"


def problem(response: Any, status: int, code: str, members: set[str] | None = None) -> dict[str, Any]:
    """The body of a problem response with exactly these members beyond the usual ones."""
    assert response.status_code == status, response.content[:500]
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (body["status"], body["code"]) == (status, code), body
    always = {"reason"} if code == "not_authenticated" else set()
    assert set(body) == PROBLEM | always | (members or set())
    assert body["type"] == (QUOTA_TYPE if status == 429 else f"/api/docs/errors#{code}")
    assert body["title"] and body["detail"]
    return body


def policies(response: Any) -> dict[str, tuple[int, int]]:
    """RateLimit-Policy by name: quantity and window in seconds."""
    return {name: (of["q"], of["w"]) for name, of in _parsed(response, "RateLimit-Policy").items()}


def standings(response: Any) -> dict[str, tuple[int, int]]:
    """RateLimit by name: what is left and seconds until more is."""
    return {name: (of["r"], of.get("t")) for name, of in _parsed(response, "RateLimit").items()}


def left(response: Any) -> dict[str, int]:
    """What RateLimit says is left, by policy."""
    return {name: remaining for name, (remaining, _) in standings(response).items()}


def has_rate_headers(response: Any) -> bool:
    return any(name in response for name in ("RateLimit", "RateLimit-Policy", "X-RateLimit-Limit"))


def _parsed(response: Any, name: str) -> dict[str, dict[str, int]]:
    if name not in response:
        return {}
    parsed = http_sf.parse(response[name].encode(), tltype="list")
    return {str(item): dict(parameters) for item, parameters in parsed}
