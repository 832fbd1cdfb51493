"""The Idempotency-Key header: what is a valid one, and what makes two requests the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParserError

LONGEST_KEY = 255
IDEMPOTENCY_KEY = "HTTP_IDEMPOTENCY_KEY"
"""The header as WSGI names it."""


class InvalidIdempotencyKey(Exception):
    """The header is too long, empty, or not printable ASCII."""


def key_of(request: HttpRequest) -> str | None:
    """The request's key; None without the header. Raises InvalidIdempotencyKey."""
    key: str | None = request.META.get(IDEMPOTENCY_KEY)
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise InvalidIdempotencyKey(f"Give 1 to {LONGEST_KEY} printable ASCII characters.")
    return key


def fingerprint(request: HttpRequest) -> str:
    """A digest of method, path with query, and body: equal for the same request sent again. Hexadecimal, 64 digits."""
    digest = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    for part in _body(request):
        digest.update(part)
    return digest.hexdigest()


def _body(request: HttpRequest) -> Iterator[bytes]:
    if request.method == "POST" and request.content_type == "multipart/form-data":
        # The check for CSRF may have read the stream, and files may be larger than a body in memory.
        try:
            request.FILES.lists()
        except MultiPartParserError:
            yield os.urandom(16)
            return
        for name, values in sorted(request.POST.lists()):
            yield f"{name}={values!r}\n".encode(errors="backslashreplace")
        for name, files in sorted(request.FILES.lists()):
            for file in files:
                yield f"{name}={file.name!r} {file.size}\n".encode(errors="backslashreplace")
                yield from file.chunks()
                file.seek(0)
        return
    try:
        yield request.body
    except RequestDataTooBig:
        # Read by nobody, and so like no other: a view that takes it nevertheless is never served unpaid.
        yield os.urandom(16)
