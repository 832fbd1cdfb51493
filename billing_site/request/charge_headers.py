"""What a metered call's headers say of its charge: the run that it is a part of, and an Idempotency-Key."""

from __future__ import annotations

from functools import partial
from typing import Final

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, UnreadablePostError

from billing.http.idempotency import IDEMPOTENCY_KEY, InvalidIdempotencyKey, fingerprint, key_of
from usage.metering.call import LONGEST_RUN_NAME, ChargeRequest, names_a_run

USAGE_RUN: Final = "HTTP_USAGE_RUN"


def by_headers(request: HttpRequest, charge: ChargeRequest) -> ChargeRequest:
    """The charge of a metered call with what its headers add."""
    if USAGE_RUN in request.META:
        charge = in_run(request, charge)
    return under_key(request, charge) if IDEMPOTENCY_KEY in request.META and charge.feature else charge


def in_run(request: HttpRequest, charge: ChargeRequest, *, guarded: bool = True) -> ChargeRequest:
    """The charge bound to the run that the header names, unless its body names one; a bad name is not metered.

    Without `guarded` the run's loops are not looked for: they are seen by the body.
    """
    name = request.META[USAGE_RUN]
    if not names_a_run(name):
        message = f"Give 1 to {LONGEST_RUN_NAME} printable ASCII characters."
        return ChargeRequest(invalid_key=message, invalid_name="Usage-Run")
    if charge.run:
        return charge
    return charge.in_run(name, (charge.body_of or partial(body_of, request)) if guarded else None)


def body_of(request: HttpRequest) -> bytes:
    """What the loop guard compares; nothing of a body that is too large, or does not come."""
    try:
        return request.body
    except (RequestDataTooBig, UnreadablePostError):
        return b""


def under_key(request: HttpRequest, charge: ChargeRequest) -> ChargeRequest:
    """The charge bound to the request's Idempotency-Key, where it has one; a bad one is not metered."""
    try:
        key = key_of(request)
    except InvalidIdempotencyKey as error:
        return ChargeRequest(invalid_key=str(error))
    if key is None:
        return charge
    return charge._replace(idempotency_key=key, fingerprint=fingerprint(request)[:32].encode())
