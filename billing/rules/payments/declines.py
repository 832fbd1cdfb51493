"""What a declined card means for the next try. Codes are those of Stripe's list, which others follow closely."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class DeclineKind(StrEnum):
    SOFT = "soft"
    """The same card may be charged later: too little on it, the bank is away."""
    HARD = "hard"
    """This card is never charged again; another one is needed."""
    ACTION = "action"
    """The bank wants its customer to confirm the payment."""


NEEDS_ACTION: Final = frozenset({"authentication_required", "payment_intent_authentication_failure"})
NEVER_AGAIN: Final = frozenset(
    {
        "card_not_supported",
        "currency_not_supported",
        "expired_card",
        "fraudulent",
        "incorrect_number",
        "invalid_account",
        "invalid_number",
        "lost_card",
        "merchant_blacklist",
        "new_account_information_available",
        "no_account",
        "pickup_card",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "security_violation",
        "service_not_allowed",
        "stolen_card",
        "stop_payment_order",
        "transaction_not_allowed",
    }
)


def kind_of(code: str) -> DeclineKind:
    """What a decline code stands for. An unknown one is soft: tried again, for as long as others are."""
    if code in NEEDS_ACTION:
        return DeclineKind.ACTION
    return DeclineKind.HARD if code in NEVER_AGAIN else DeclineKind.SOFT
