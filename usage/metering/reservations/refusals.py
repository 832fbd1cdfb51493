"""Why something cannot be done to a reservation."""

from __future__ import annotations

from typing import Any

from billing.rules.refused import Refused
from usage.log.reservation_facts import EXPIRED


class ReservationRefused(Refused):
    """Nothing has changed. `code` and parameters as usage/api/reservation_sentences.py tells them."""


class NotFound(ReservationRefused):
    """The account has no such reservation. Without parameters."""

    code = "not_found"


class Over(ReservationRefused):
    """It was finished before, otherwise than is asked now. Parameters: state, tokens_charged."""

    code = "already_settled"


class Expired(Over):
    """It was due before, and was finished by its last heartbeat. Parameters: state, tokens_charged."""

    code = "reservation_expired"


def ended_as(state: str, tokens_charged: int) -> Over:
    return (Expired if state == EXPIRED else Over)(state=state, tokens_charged=tokens_charged)


class ChildrenOpen(ReservationRefused):
    """Its children are to be finished first. Parameter: open."""

    code = "children_open"


class NoParent(ReservationRefused):
    """The parent is none that a child could draw from: unknown, finished, or three levels deep. Parameter: reason."""

    code = "no_parent"


class BoundExceeded(ReservationRefused):
    """Its quota, or its parent's bound, has not what a heartbeat needs above its bound.

    Parameters: tokens_reserved, tokens_lacking, tokens_remaining, of ("quota" or "parent"), affordable.
    """

    code = "bound_exceeded"


class Repeated(ReservationRefused):
    """The request has run before under its Idempotency-Key, and has paid for it. Without parameters."""

    code = "idempotency_exhausted"


class NotAdmitted(ReservationRefused):
    """The quota, the plan, or a budget refuses it: `admission` says which, as of any call."""

    code = "quota_exceeded"

    def __init__(self, admission: Any) -> None:
        super().__init__()
        self.admission = admission
