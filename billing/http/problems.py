"""Errors as problem+json (RFC 9457): a stable code, a sentence for people, and the members that belong to the code."""

from __future__ import annotations

from http import HTTPStatus
from itertools import islice
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from rest_framework import exceptions, status

from billing.http.access import access_of
from billing.http.error_codes import ERRORS, EXPLAINED_AT, type_of
from billing.http.json import ExactJSONEncoder

MEDIA_TYPE = "application/problem+json"

RETRY_AFTER_SECONDS = 1
"""Of a 503: Retry-After."""

TOO_LARGE = "The body is larger than {largest} bytes; send less."
CODE_OF_STATUS = {
    400: "invalid",
    401: "not_authenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "too_large",
    415: "unsupported_media_type",
    429: "rate_limited",
    500: "internal_error",
    503: "unavailable",
}


class Problem(exceptions.APIException):
    """An error of the contract, raised by a view: its status, its code and the members the code brings."""

    def __init__(self, status_code: int, code: str, detail: str, **members: Any) -> None:
        super().__init__(detail, code)
        self.status_code = status_code
        self.code = code
        self.members = members
        # What REST framework sends as Retry-After; seconds.
        is_unavailable = status_code == status.HTTP_503_SERVICE_UNAVAILABLE
        self.wait = RETRY_AFTER_SECONDS if is_unavailable else members.get("retry_after")
        # And as WWW-Authenticate, without which a 401 is none.
        self.auth_header = "Bearer" if status_code == status.HTTP_401_UNAUTHORIZED else None


def title_of(status_code: int) -> str:
    """The phrase of the status in HTTP's registry; of an unregistered one, that of its class (4xx: Bad Request)."""
    try:
        return HTTPStatus(status_code).phrase
    except ValueError:
        return HTTPStatus(status_code // 100 * 100).phrase


MOST_NAMED: Final = 10
"""Fields that a problem names, and messages of each: a request may be wrong in as many places as its body has room."""
LONGEST_NAME: Final = 100
LONGEST_TEXT: Final = 2000


def document(status_code: int, code: str, detail: str, **members: Any) -> dict[str, Any]:
    """The body of a problem response. What it repeats of the request is bounded: fields, messages, and their length."""
    if "errors" in members:
        if len(members["errors"]) > MOST_NAMED:
            detail = f"{detail} Only the first {MOST_NAMED} are named."
        members["errors"] = {
            _cut(str(name), LONGEST_NAME): [_cut(message, LONGEST_TEXT) for message in islice(messages, MOST_NAMED)]
            for name, messages in islice(members["errors"].items(), MOST_NAMED)
        }
    detail = _cut(detail, LONGEST_TEXT)
    return {
        "type": type_of(status_code, code),
        "title": title_of(status_code),
        "status": status_code,
        "detail": detail,
        "code": code,
        **members,
    }


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def respond(
    request: HttpRequest,
    status_code: int,
    code: str,
    detail: str,
    headers: dict[str, str] | None = None,
    **members: Any,
) -> HttpResponse:
    """The response of a problem outside of REST framework's views: JSON, a page for a browser, or as the view wants."""
    body = document(status_code, code, detail, **members)
    match = request.resolver_match
    if match is not None and (write := access_of(match.func, request.method or "").problem_response) is not None:
        response = write(request, body)
    elif _wants_page(request):
        text = ExactJSONEncoder(indent=4, ensure_ascii=False).encode(body)
        explained_at = f"{EXPLAINED_AT}#{code}" if code in ERRORS else ""
        shown = {"problem": body, "text": text, "explained_at": explained_at}
        response = render(request, "problem.html", shown, status=status_code)
    else:
        text = ExactJSONEncoder().encode(body)
        response = HttpResponse(text, status=status_code, content_type=MEDIA_TYPE)
    for name, value in (headers or {}).items():
        response[name] = value
    return response


def _wants_page(request: HttpRequest) -> bool:
    preferred = request.get_preferred_type(["application/json", MEDIA_TYPE, "text/html"])
    return preferred == "text/html"
