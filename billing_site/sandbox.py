"""Small real endpoints at the default catalogue's paths, to try metering with curl (SANDBOX=1).

They echo their input. `fail` (a status from 400 to 599, or "exception") makes them fail, `sleep_ms` makes them wait.
The agent answers chats, too: billing_site/agent.
"""

from __future__ import annotations

import time
from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing.http.openapi import METERED, problem
from billing.http.problems import CODE_OF_STATUS, Problem
from billing.http.views import ApiView

AGENT_PATH = "agent/query"
PATHS = (
    "trace/start",
    "trace/expand",
    "graph/nodes",
    "patterns/detect",
    AGENT_PATH,
    "risk/score",
    "wallet-scanner/scan",
    "reports/generate",
)
LONGEST_SLEEP_MS = 10_000


class SandboxFailure(RuntimeError):
    """Raised on request, as a faulty view would."""


FAIL = {"oneOf": [{"type": "integer", "minimum": 400, "maximum": 599}, {"type": "string", "const": "exception"}]}
SLEEP_MS = {"type": "integer", "minimum": 0, "maximum": LONGEST_SLEEP_MS}
ECHO = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "method": {"type": "string"}, "input": {"type": "object"}},
    "required": ["path", "method", "input"],
}
AS_ASKED = (
    problem(403, "forbidden")
    | problem(409, "sandbox_failure")
    | problem(429, "rate_limited")
    | problem(503, "unavailable")
    | problem("4XX")
    | problem("5XX")
)


@extend_schema(
    parameters=[
        OpenApiParameter("fail", FAIL, description="Fail with this status, or with an exception."),
        OpenApiParameter("sleep_ms", SLEEP_MS, description="Wait so long first."),
    ],
    request={
        "application/json": {
            "type": "object",
            "properties": {"fail": FAIL, "sleep_ms": SLEEP_MS},
            "additionalProperties": {},
        },
    },
    responses={200: ECHO} | AS_ASKED,
    examples=[OpenApiExample("Any object", {"depth": 2}, request_only=True)],
    extensions=METERED,
)
class SandboxView(ApiView):
    """Echo the input; `fail` and `sleep_ms`, in the body or the query, make it fail or wait."""

    documented_paths = tuple(f"/api/v1/{path}" for path in PATHS if path != AGENT_PATH)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Any query is input here, so the check for unknown parameters is left out.
        super(ApiView, self).initial(request, *args, **kwargs)

    def get(self, request: Request, **_: Any) -> Response:
        return self._answer(request, dict(request.query_params.items()))

    def post(self, request: Request, **_: Any) -> HttpResponseBase:
        if not isinstance(request.data, dict):
            raise ValidationError({"non_field_errors": ["Send a JSON object."]})
        return self._answer(request, dict(request.query_params.items()) | request.data)

    def _answer(self, request: Request, given: dict[str, Any]) -> Response:
        obey(given)
        return Response({"path": request.path, "method": request.method, "input": given})


def obey(given: dict[str, Any]) -> None:
    """Wait and fail as the input says. Raises Problem, SandboxFailure, or ValidationError for what makes no sense."""
    if sleep_ms := _whole(given, "sleep_ms", 0, LONGEST_SLEEP_MS):
        time.sleep(sleep_ms / 1000)
    if given.get("fail") == "exception":
        raise SandboxFailure("the view failed, as it was asked to")
    if status := _whole(given, "fail", 400, 599):
        wait = {"retry_after": 1} if status == 429 else {}
        raise Problem(status, CODE_OF_STATUS.get(status, "sandbox_failure"), "Failed, as it was asked to.", **wait)


def _whole(given: dict[str, Any], name: str, least: int, most: int) -> int | None:
    if name not in given:
        return None
    text = str(given[name])
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and least <= int(text) <= most):
        raise ValidationError({name: [f"Give a whole number from {least} to {most}."]})
    return int(text)
