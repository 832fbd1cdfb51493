"""What a provider of card payments can do. Stripe is one (`stripe_gateway`); another one is another file.

No method raises for what a provider does: errors are values (`answers`). None may be called inside of a transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Protocol

from billing.payments.cards.answers import (
    Answer,
    Card,
    CardDispute,
    CardRefund,
    Charge,
    Event,
    HostedPage,
    SetUp,
)

KEY_KEPT: Final = timedelta(hours=23)
"""Providers keep an Idempotency-Key for a day: until then the same request may be sent again."""


class Gateway(Protocol):
    """`key` is an Idempotency-Key: the same call with the same key is executed once, for at least 24 hours."""

    name: str
    is_live: bool
    """Real money moves."""

    def create_customer(self, account: int, *, email: str, key: str) -> Answer[str]:
        """The reference of a new customer."""
        ...

    def delete_customer(self, customer: str) -> Answer[None]:
        """Name, e-mail and cards are forgotten, payments stay. Answered also where it was deleted before."""
        ...

    def begin_set_up(self, customer: str, *, done_url: str, left_url: str, language: str = "") -> Answer[HostedPage]:
        """A page on which the customer saves a card. `{page}` in a URL becomes the page's reference."""
        ...

    def begin_payment(
        self,
        customer: str,
        amount: Decimal,
        currency: str,
        *,
        attempt: str,
        description: str,
        done_url: str,
        left_url: str,
        language: str = "",
    ) -> Answer[HostedPage]:
        """A page to pay on, and to confirm it with the bank. The card is not kept. `attempt` is its key, too."""
        ...

    def charge(
        self, customer: str, method: str, amount: Decimal, currency: str, *, attempt: str, description: str
    ) -> Answer[Charge]:
        """Charge a saved card while its owner is away. `attempt` is its key, too.

        Answered only with a charge that has succeeded or is being processed; a decline names its charge.
        """
        ...

    def fetch_page(self, reference: str) -> Answer[HostedPage]:
        """With its set-up or its charge, as they are now."""
        ...

    def end_page(self, reference: str) -> Answer[None]:
        """Nobody can pay on it any more; Rejected where it is not open."""
        ...

    def fetch_set_up(self, reference: str) -> Answer[SetUp]: ...

    def fetch_card(self, reference: str) -> Answer[Card]: ...

    def detach_card(self, reference: str) -> Answer[None]:
        """It is not charged again. Answered also where it was detached before."""
        ...

    def fetch_charge(self, reference: str) -> Answer[Charge]: ...

    def find_charge(self, customer: str, attempt: str, since: datetime) -> Answer[Charge | None]:
        """The charge that was made for an attempt, when its reference is not known: None where there is none."""
        ...

    def cancel_charge(self, reference: str) -> Answer[Charge]:
        """Nobody can pay it any more; Rejected where that is too late."""
        ...

    def refund(self, charge: str, amount: Decimal, currency: str, *, refund: str) -> Answer[CardRefund]:
        """Give back a part of a charge, or all of it. `refund` is its key, too. Rejected above what is left."""
        ...

    def fetch_refund(self, reference: str) -> Answer[CardRefund]: ...

    def find_refund(self, charge: str, refund: str) -> Answer[CardRefund | None]:
        """What of a charge was given back under a key, when its reference is not known: None where nothing was."""
        ...

    def fetch_dispute(self, reference: str) -> Answer[CardDispute]: ...

    def parse_event(self, body: bytes, signature: str) -> Event:
        """Raises BadEvent. Signed more than 300 seconds ago, by this process' clock, is too old."""
        ...

    def events_since(self, since: datetime) -> Answer[Sequence[Event]]:
        """What happened after an instant, oldest first; providers keep about 30 days."""
        ...
