"""What the OpenAPI document says of the MCP endpoint: JSON-RPC as such; tools are found by `tools/list`."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample, OpenApiResponse

from billing.http import openapi

EXTENSIONS: Final = openapi.METERED | openapi.JSON_RPC
ID: Final = {"type": ["string", "integer", "null"]}
MESSAGE: Final = {
    "type": "object",
    "properties": {
        "jsonrpc": {"type": "string", "const": "2.0"},
        "id": ID | {"description": "Left out of a notification, which gets 202 and no body."},
        "method": {"type": "string", "description": "Such as `tools/list` and `tools/call`."},
        "params": {"type": "object", "additionalProperties": {}},
    },
    "required": ["jsonrpc", "method"],
}
RESULT: Final = {"type": "object", "additionalProperties": {}, "description": "By the method, as the protocol has it."}
ERROR: Final = {
    "type": "object",
    "properties": {
        "code": {
            "type": "integer",
            "description": "-32000: refused, `data` is the problem; others are JSON-RPC's.",
        },
        "message": {"type": "string"},
        "data": {"description": "The problem that other paths answer with, where there is one."},
    },
    "required": ["code", "message"],
}


def _answer(**members: Any) -> dict[str, Any]:
    properties = {"jsonrpc": {"type": "string", "const": "2.0"}, "id": ID, **members}
    return {"type": "object", "properties": properties, "required": ["jsonrpc", "id"]}


SAID: Final = {
    404: "There is no such method.",
    409: "`idempotency_conflict`, `idempotency_in_progress` or `idempotency_exhausted`, by the problem in `data`.",
}
REQUEST: Final = {"application/json": MESSAGE}
RESPONSES: Final[dict[Any, Any]] = {
    200: OpenApiResponse(
        _answer(result=RESULT, error=ERROR),
        "The result, or JSON-RPC's error. A tool that has failed has `isError` in its result, and costs nothing.",
    ),
    202: OpenApiResponse(None, "A notification was taken."),
} | {
    status: OpenApiResponse(_answer(error=ERROR) | {"required": ["jsonrpc", "id", "error"]}, SAID.get(status, ""))
    for status in (400, 401, 403, 404, 406, 409, 413, 415, 429, 500, 503)
}
EXAMPLES: Final = [
    OpenApiExample(
        "A metered tool",
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "risk_score", "arguments": {"address": "0xabc"}},
        },
        request_only=True,
    )
]
