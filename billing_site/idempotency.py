"""The Idempotency-Key of a metered call: what is a valid one, and what makes two requests the same."""

from __future__ import annotations

import hashlib

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
    try:
        digest.update(request.body)
    except RequestDataTooBig:
        # The view will refuse it; until then its size has to do.
        digest.update(request.META["CONTENT_LENGTH"].encode())
    return digest.hexdigest()[:32].encode()
