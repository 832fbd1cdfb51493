"""The comparison of responses with the OpenAPI document: what it passes, and what it fails."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from django.http import HttpResponse

from billing.http.error_codes import type_of
from tests import schema

EVENT = "019ab0c4-7f2e-7cc3-98c4-dc0c0c07398f"


def answer(status: int, body: Any, media_type: str = "application/json", **headers: str) -> HttpResponse:
    content = body if isinstance(body, str) else json.dumps(body)
    response = HttpResponse(content, status=status, content_type=media_type)
    response["X-Request-ID"] = "x"
    for name, value in headers.items():
        response[name.replace("_", "-")] = value
    return response


TRACKED = {
    "tokens_used": 5,
    "tokens_total": 90,
    "tokens_remaining": 10,
    "overage": None,
    "quota_exceeded": False,
    "event": EVENT,
}
UNAVAILABLE = {
    "type": "/api/docs/errors#unavailable",
    "title": "Service Unavailable",
    "status": 503,
    "detail": "Try again.",
    "code": "unavailable",
}

LIMITED = {"type": type_of(429, "rate_limited"), "status": 429, "code": "rate_limited", "retry_after": 2}


def test_check_passes_what_is_documented() -> None:
    schema.check(answer(200, TRACKED, X_Usage_Cost="5", X_Usage_Event=EVENT), "POST", "/api/v1/usage/track")
    schema.check(answer(200, TRACKED | {"tokens_remaining": "unlimited"}), "POST", "/api/v1/usage/track/")
    schema.check(answer(503, UNAVAILABLE, schema.PROBLEM, Retry_After="1"), "GET", "/api/v1/plans")
    schema.check(answer(503, UNAVAILABLE, schema.PROBLEM), "POST", "/api/v1/trace/start/7")
    schema.check(answer(204, ""), "DELETE", f"/api/v1/usage/events/{UUID(EVENT)}")
    schema.check(answer(200, "<p>", "text/html"), "GET", "/api/v1/plans")
    schema.check(answer(200, "anything", "text/plain"), "GET", "/health")


@pytest.mark.parametrize(
    ("response", "method", "path", "complaint"),
    [
        (answer(201, TRACKED), "POST", "/api/v1/usage/track", "status is not documented"),
        (answer(200, TRACKED | {"extra": 1}), "POST", "/api/v1/usage/track", "extra"),
        (answer(200, TRACKED | {"tokens_remaining": None}), "POST", "/api/v1/usage/track", "tokens_remaining"),
        (answer(200, TRACKED | {"event": "1"}), "POST", "/api/v1/usage/track", "event"),
        (answer(200, TRACKED, "text/plain"), "POST", "/api/v1/usage/track", "text/plain is not documented"),
        (answer(200, TRACKED, X_Usage_Cost="-1"), "POST", "/api/v1/usage/track", "X-Usage-Cost"),
        (answer(200, TRACKED, RateLimit="minute=3"), "POST", "/api/v1/usage/track", "RateLimit"),
        (answer(200, TRACKED), "PUT", "/api/v1/usage/track", "method is not documented"),
        (answer(204, "text"), "DELETE", f"/api/v1/usage/events/{EVENT}", "a body"),
        (answer(503, UNAVAILABLE), "GET", "/api/v1/plans", "application/json is not documented"),
        (answer(503, UNAVAILABLE | {"code": "busy"}, schema.PROBLEM), "GET", "/api/v1/plans", "unavailable"),
        (answer(503, UNAVAILABLE | {"status": 500}, schema.PROBLEM), "GET", "/api/v1/plans", "503"),
        (
            answer(429, UNAVAILABLE | LIMITED, schema.PROBLEM, Retry_After="1"),
            "POST",
            "/api/v1/trace/start",
            "differ",
        ),
        (answer(404, {"detail": "no"}, schema.PROBLEM), "GET", "/api/v1/nothing", "not as documented"),
    ],
)
def test_check_fails_what_is_not(response: HttpResponse, method: str, path: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        schema.check(response, method, path)


def test_check_wants_the_headers_that_are_always_there() -> None:
    response = answer(200, TRACKED)
    del response["X-Request-ID"]
    with pytest.raises(AssertionError, match="X-Request-ID is missing"):
        schema.check(response, "POST", "/api/v1/usage/track")
