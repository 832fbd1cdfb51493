"""Bodies sent in chunks: Django reads as many bytes as Content-Length says, and such a request has none."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import Any, Final

from django.conf import settings
from django.core.handlers.wsgi import LimitedStream
from django.http import HttpRequest, HttpResponse

from billing.http import problems

HEADER: Final = "HTTP_TRANSFER_ENCODING"
"""As WSGI names it, where the server leaves it to the application."""


def give_a_length(request: HttpRequest) -> HttpResponse | None:
    """Read a body sent in chunks and put it where everybody looks for it; or 413, or 400 where its chunks are none."""
    if request.META.get("CONTENT_LENGTH") or "wsgi.input" not in request.META:  # under ASGI Django has read it all
        return None
    largest = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    try:
        body = _read(request.META["wsgi.input"], largest + 1)
    except unreadable():
        return problems.respond(request, 400, "invalid", "The chunks of the body could not be read.")
    if len(body) > largest:
        return problems.respond(request, 413, "too_large", problems.TOO_LARGE.format(largest=largest))
    del request.META[HEADER]
    request.META["CONTENT_LENGTH"] = str(len(body))
    request.META["wsgi.input"] = BytesIO(body)
    request._stream = LimitedStream(BytesIO(body), len(body))  # type: ignore[assignment]
    return None


@cache
def unreadable() -> tuple[type[Exception], ...]:
    """What reading raises where the body ends early, and under gunicorn where its chunks make no sense."""
    try:
        from gunicorn.http.errors import ParseException
    except ImportError:
        return (OSError,)
    return (OSError, ParseException)


def _read(stream: Any, most: int) -> bytes:
    """Until its end or `most` bytes: a server may give fewer at once than it was asked for."""
    parts, left = [], most
    while left and (part := stream.read(left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
