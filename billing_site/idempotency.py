"""The Idempotency-Key of a metered call: what is a valid one, and what makes two requests the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest

from usage.meter import Charge

LONGEST_KEY = 255


class InvalidIdempotencyKey(Exception):
    """The header is too long, empty, or not printable ASCII."""


def under_key(request: HttpRequest, charge: Charge) -> Charge:
    """The charge bound to the request's Idempotency-Key, where it has one. Raises InvalidIdempotencyKey."""
    key = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return charge
    if not 0 < len(key) <= LONGEST_KEY or not (key.isascii() and key.isprintable()):
        raise InvalidIdempotencyKey(f"Give 1 to {LONGEST_KEY} printable ASCII characters.")
    return charge._replace(idempotency_key=key, fingerprint=_fingerprint(request))


def _fingerprint(request: HttpRequest) -> bytes:
    digest = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    for part in _body(request):
        digest.update(part)
    return digest.hexdigest()[:32].encode()


def _body(request: HttpRequest) -> Iterator[bytes]:
    if request.method == "POST" and request.content_type == "multipart/form-data":
        # The check for CSRF may have read the stream, and files may be larger than a body in memory.
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
