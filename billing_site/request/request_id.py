"""X-Request-ID: taken over from the client where it is sound, made where not; returned, and in every log line."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

SOUND = re.compile(r"[\x21-\x7e]{1,128}")
current: ContextVar[str] = ContextVar("request_id", default="-")


class RequestId:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = given if SOUND.fullmatch(given) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]
        token = current.set(request_id)
        try:
            response = self.get_response(request)
        finally:
            current.reset(token)
        response["X-Request-ID"] = request_id
        return without_body(response) if request.method == "HEAD" else response


def without_body(response: HttpResponseBase) -> HttpResponseBase:
    """The answer to a HEAD: all that its GET has but the body, which a server would warn of and drop."""
    if isinstance(response, StreamingHttpResponse):
        response.streaming_content = ()  # what was to be streamed is closed with the response all the same
    elif isinstance(response, HttpResponse):
        response.headers.setdefault("Content-Length", str(len(response.content)))
        response.content = b""
    return response


class RequestIdFilter(logging.Filter):
    """Gives log records `request_id`; "-" outside of a request.

    Django writes of a failed response when the middleware have ended, with the request beside.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = getattr(getattr(record, "request", None), "request_id", None) or current.get()
        return True
