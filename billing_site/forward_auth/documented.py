"""What the OpenAPI document says of the door."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from billing.http import openapi


def _header(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, description=description)


def _answered(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, description=description, response=[200])


OPERATION: Final[dict[str, Any]] = {
    "parameters": [
        _header("X-Original-Method", "The described request's method, as nginx is told to send it."),
        _header("X-Original-URI", "Its path and query, as the client wrote them."),
        _header("X-Forwarded-Method", "The same, as Caddy and Traefik send it."),
        _header("X-Forwarded-Uri", "The same. Two of these headers that disagree, or none, are a 400."),
        OpenApiParameter(
            "as",
            str,
            enum=["nginx"],
            description="For a proxy that knows 2xx, 401 and 403 only: any other refusal is a 403, with its status in "
            "`X-Refusal-Status` and its body in `X-Refusal-Body`.",
        ),
        _answered("X-Account-Id", "Whose request it is; empty for a preflight."),
        _answered("X-Usage-Event", "The charge; empty where nothing was charged."),
        OpenApiParameter("X-Usage-Cost", int, OpenApiParameter.HEADER, description="Its tokens.", response=[200]),
        _answered("X-Plan", "The code of the plan that the account is served by; empty where it has none."),
    ],
    "request": None,
    "responses": {
        200: OpenApiResponse(
            None, "Serve it. When it fails, `DELETE /usage/events/{event}?account=` gives back what it was charged."
        ),
    }
    | openapi.problem(403, "forbidden"),
}
