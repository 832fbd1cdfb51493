"""X-Request-ID: taken over from the client where it is sound, made where not; returned, and in every log line.

The log also says which account calls, and in Celery's processes which task runs.
"""

from __future__ import annotations

import logging
import re
import sys
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

SOUND = re.compile(r"[\x21-\x7e]{1,128}")
ACCOUNT: Final = "metered.account"
"""In the WSGI environment: who called, for the web server's access log."""
current: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


class RequestId:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = given if SOUND.fullmatch(given) else uuid.uuid4().hex
        request.request_id = request_id  # type: ignore[attr-defined]
        token = current.set(request)
        try:
            response = self.get_response(request)
        finally:
            current.reset(token)
        response["X-Request-ID"] = request_id
        request.META[ACCOUNT] = account_of(request)
        return without_body(response) if request.method == "HEAD" else response


def without_body(response: HttpResponseBase) -> HttpResponseBase:
    """The answer to a HEAD: all that its GET has but the body, which a server would warn of and drop."""
    if isinstance(response, StreamingHttpResponse):
        response.streaming_content = ()  # what was to be streamed is closed with the response all the same
    elif isinstance(response, HttpResponse):
        response.headers.setdefault("Content-Length", str(len(response.content)))
        response.content = b""
    return response


def account_of(request: HttpRequest) -> int | None:
    """Who calls, as far as that was found out; asks nobody."""
    known = request.__dict__
    if (caller := known.get("identified")) is not None:
        return int(caller.account)
    user = known.get("_cached_user")
    return getattr(user, "pk", None)


class RequestIdFilter(logging.Filter):
    """Gives log records `request_id`, "-" outside of a request, `account` and `task`, None where there is none.

    Django writes of a failed response when the middleware have ended, with the request beside.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        if not hasattr(request, "request_id"):
            request = current.get()
        known = record.__dict__
        known.setdefault("request_id", getattr(request, "request_id", "-"))
        known.setdefault("account", account_of(request) if isinstance(request, HttpRequest) else None)
        known.setdefault("task", _task())
        return True


def _task() -> str | None:
    """The id of Celery's task that runs here; asked only where Celery was loaded."""
    if "celery._state" not in sys.modules:
        return None
    task = sys.modules["celery._state"].get_current_task()
    return None if task is None else task.request.id
