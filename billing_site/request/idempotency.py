"""A metered call under an Idempotency-Key: charged once, however often it is sent."""

from __future__ import annotations

from django.http import HttpRequest

from billing.http.idempotency import InvalidIdempotencyKey, fingerprint, key_of
from usage.metering.call import ChargeRequest


def under_key(request: HttpRequest, charge: ChargeRequest) -> ChargeRequest:
    """The charge bound to the request's Idempotency-Key, where it has one; a bad one is not metered."""
    try:
        key = key_of(request)
    except InvalidIdempotencyKey as error:
        return ChargeRequest(invalid_key=str(error))
    if key is None:
        return charge
    return charge._replace(idempotency_key=key, fingerprint=fingerprint(request)[:32].encode())
