"""Charges that are to be voided, and reservations that are to be settled."""

from __future__ import annotations

from typing import Final

from billing.http.error_codes.code import ErrorCode

_FINISHED: Final = {"state": "How it was finished.", "tokens_charged": "What it has cost, in tokens."}
OF_USAGE: Final = (
    ErrorCode(
        "not_voidable",
        403,
        "This was charged for a call that was served, or for usage that was reported: it stands.",
        "Only charges of `POST /api/v1/usage/track` and of `/api/v1/usage/authorize` can be voided.",
    ),
    ErrorCode("already_voided", 409, "This charge was voided before.", "There is nothing to do: it costs nothing."),
    ErrorCode(
        "already_settled",
        409,
        "The reservation was finished before, otherwise than is asked now.",
        "There is nothing to do: `tokens_charged` is what it has cost.",
        _FINISHED,
    ),
    ErrorCode(
        "reservation_expired",
        409,
        "Nobody settled the reservation in time. It was finished by its last heartbeat.",
        "`tokens_charged` is what it has cost. Send heartbeats, or reserve for longer with `expires_in`.",
        _FINISHED,
    ),
    ErrorCode(
        "children_open",
        409,
        "Other reservations still draw from this one.",
        "Settle or release its children first.",
        {"open": "How many of them are open."},
    ),
    ErrorCode("too_late", 409, "A charge can be voided within an hour.", "Ask our staff."),
)
