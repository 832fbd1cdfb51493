"""Why a bank refuses a card, as its owner is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from billing.payments.cards.answers import Declined

# Of a lost or stolen card its holder is told no more than that it is refused: it may not be the owner.
SENTENCES: Final[Mapping[str, str | Promise]] = {
    "insufficient_funds": _("The card has not enough money on it."),
    "expired_card": _("The card has expired."),
    "incorrect_cvc": _("The card's security code is wrong."),
    "invalid_cvc": _("The card's security code is wrong."),
    "incorrect_number": _("The card's number is wrong."),
    "invalid_number": _("The card's number is wrong."),
    "processing_error": _("The bank could not process the card just now. Try again in a few minutes."),
    "try_again_later": _("The bank could not process the card just now. Try again in a few minutes."),
    "issuer_not_available": _("The bank could not process the card just now. Try again in a few minutes."),
    "card_not_supported": _("The card does not allow this kind of payment."),
    "currency_not_supported": _("The card does not allow payments in this currency."),
    "card_velocity_exceeded": _("The card's limit is reached."),
    "withdrawal_count_limit_exceeded": _("The card's limit is reached."),
    "authentication_required": _("The bank wants you to confirm the payment."),
    "setup_intent_authentication_failure": _("The bank's confirmation failed."),
    "payment_intent_authentication_failure": _("The bank's confirmation failed."),
}
REFUSED: Final = _("The bank refuses the card. Ask there, or use another card.")


def on_page(declined: Declined) -> str:
    """A sentence in the reader's language."""
    return str(SENTENCES.get(declined.code, REFUSED))
