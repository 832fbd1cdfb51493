"""The JSON-RPC message of a request, as the gateway needs it before the library sees it, and refusals as JSON-RPC."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from rest_framework.utils.mediatypes import media_type_matches

from billing.http.json import ExactJSONEncoder, NotJson, read_json
from billing.http.problems import MEDIA_TYPE

LARGEST_BODY: Final = 64 * 1024
REFUSED: Final = -32000
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600


class Unacceptable(NamedTuple):
    """Why a request is not looked at: the status and code of its problem, what is said, and JSON-RPC's code."""

    status: int
    code: str
    detail: str
    rpc_code: int = REFUSED


TOO_LARGE: Final = Unacceptable(413, "too_large", f"The body is larger than {LARGEST_BODY} bytes; send less.")
NO_JSON_TYPE: Final = Unacceptable(415, "unsupported_media_type", "Send application/json.")
FOREIGN: Final = Unacceptable(403, "forbidden", "Pages of other sites may not ask here.")
NO_JSON: Final = Unacceptable(400, "invalid", "The body is not JSON.", PARSE_ERROR)
NO_MESSAGE: Final = Unacceptable(400, "invalid", "Send one JSON-RPC message; batches are not taken.", INVALID_REQUEST)
NO_JSON_RPC: Final = Unacceptable(400, "invalid", "This is no message of JSON-RPC 2.0.", INVALID_REQUEST)
NO_ID: Final = Unacceptable(400, "invalid", "An id is a text or a whole number.", INVALID_REQUEST)


def read(request: HttpRequest) -> dict[str, Any] | Unacceptable:
    """The request's message, read once; or why it is not looked at."""
    known: dict[str, Any] | Unacceptable | None = getattr(request, "mcp_message", None)
    if known is None:
        known = request.mcp_message = _read(request)  # type: ignore[attr-defined]
    return known


def _read(request: HttpRequest) -> dict[str, Any] | Unacceptable:
    if not _is_from_here(request):
        return FOREIGN
    if not media_type_matches("application/json", request.META.get("CONTENT_TYPE", "")):
        return NO_JSON_TYPE
    try:
        if len(request.body) > LARGEST_BODY:
            return TOO_LARGE
        message = read_json(request.body)
    except RequestDataTooBig:
        return TOO_LARGE
    except NotJson:
        return NO_JSON
    if not isinstance(message, dict):
        return NO_MESSAGE
    if not _is_json_rpc(message):
        return NO_JSON_RPC
    return message if _is_answerable(message) else NO_ID


def _is_json_rpc(message: dict[str, Any]) -> bool:
    """Of the others the library would tell in its own words, with addresses of its documentation."""
    method, params = message.get("method", ""), message.get("params")
    is_one = "method" in message or "result" in message or "error" in message
    return is_one and message.get("jsonrpc") == "2.0" and isinstance(method, str) and isinstance(params, dict | None)


def _is_answerable(message: dict[str, Any]) -> bool:
    """Whether what names a method has no id, as notifications do, or one by which it can be answered.

    The library takes it for a notification otherwise: it runs nothing, and the call would have been charged.
    """
    if "method" not in message or "id" not in message:
        return True
    identifier = message["id"]
    return isinstance(identifier, str | int) and not isinstance(identifier, bool)


def _is_from_here(request: HttpRequest) -> bool:
    """Whether no page of another site has sent it, as a name that leads to this machine could. Django checks the host.

    Programs send no Origin. Pages of CSRF_TRUSTED_ORIGINS may ask.
    """
    if "HTTP_ORIGIN" not in request.META:
        return True
    return CsrfViewMiddleware(lambda _: HttpResponse())._origin_verified(request)  # type: ignore[attr-defined,no-any-return]


def called(message: dict[str, Any] | Unacceptable) -> tuple[object, dict[str, Any]]:
    """The name of the tool that a message calls, whatever that is, and its arguments; None where it calls none."""
    if isinstance(message, Unacceptable) or message.get("method") != "tools/call" or "id" not in message:
        return None, {}
    params = message.get("params")
    if not isinstance(params, dict):
        return None, {}
    arguments = params.get("arguments")
    return params.get("name"), arguments if isinstance(arguments, dict) else {}


def compared(name: object, arguments: dict[str, Any]) -> bytes:
    """What two calls have in common that ask for the same: each message has an id of its own."""
    return json.dumps([name, arguments], sort_keys=True).encode()


def problem_response(request: HttpRequest, problem: dict[str, Any]) -> HttpResponse:
    """A problem as a JSON-RPC error, which MCP clients show; to a request that is no POST as problem+json."""
    if request.method != "POST":
        text = ExactJSONEncoder().encode(problem)
        return HttpResponse(text, status=problem["status"], content_type=MEDIA_TYPE)
    message = read(request)
    identifier = None if isinstance(message, Unacceptable) else message.get("id")
    error = {
        "code": message.rpc_code if isinstance(message, Unacceptable) else REFUSED,
        "message": problem["detail"],
        "data": problem,
    }
    body = {"jsonrpc": "2.0", "id": identifier if isinstance(identifier, str | int) else None, "error": error}
    return HttpResponse(ExactJSONEncoder().encode(body), status=problem["status"], content_type="application/json")
