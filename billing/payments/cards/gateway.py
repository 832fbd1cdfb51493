"""What a provider of card payments can do. Stripe is one (`stripe_gateway`); another one is another file.

Errors are values, since each asks for something else: `Declined` and `Rejected` are a no, and nothing was moved.
`Unknown` is neither yes nor no: the request may have been executed, so only the same request under the same key may
follow. No method raises for what a provider does, and none may be called inside of a transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from billing.rules.declines import DeclineKind

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Answered(Generic[T_co]):
    value: T_co


@dataclass(frozen=True, slots=True)
class Declined:
    """The bank refuses the card."""

    code: str
    kind: DeclineKind
    message: str = ""
    """The provider's English sentence, for staff."""
    reference: str = ""
    """Of the charge that was declined, or of the set-up."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The provider refuses the request as such: sent again it is refused again."""

    code: str
    message: str

    @property
    def is_missing(self) -> bool:
        """The provider knows no such object."""
        return self.code == "resource_missing"


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer, or one that says nothing about the request: a timeout, a lost connection, a 5xx, 401, 409 or 429."""

    reason: str


Answer: TypeAlias = Answered[T_co] | Declined | Rejected | Unknown


@dataclass(frozen=True, slots=True)
class Card:
    """A saved card. Of a detached one the customer is empty."""

    reference: str
    customer: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    fingerprint: str = ""
    created_at: datetime | None = None


class SetUpState(StrEnum):
    OPEN = "open"
    SAVED = "saved"
    FAILED = "failed"
    """The last card that was tried is declined; the page may still be open for another one."""
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class SetUp:
    """A customer's try to save a card."""

    reference: str
    customer: str
    state: SetUpState
    card: Card | None = None
    decline: Declined | None = None


class ChargeState(StrEnum):
    OPEN = "open"
    """Nobody has tried to pay yet, as on a hosted page."""
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    NEEDS_ACTION = "needs_action"
    FAILED = "failed"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Charge:
    """A payment, however it was begun. Stripe calls it a payment intent."""

    reference: str
    state: ChargeState
    amount: Decimal
    currency: str
    customer: str = ""
    method: str = ""
    attempt: str = ""
    """What the caller of `charge` or `begin_payment` gave; empty on a charge that was not made by us."""
    decline: Declined | None = None
    refunded: Decimal = Decimal(0)
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HostedPage:
    """A page of the provider's to which the customer is sent."""

    reference: str
    url: str
    """Empty once it is complete or expired."""
    is_open: bool = True
    set_up: SetUp | None = None
    charge: Charge | None = None


class RefundState(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CardRefund:
    reference: str
    charge: str
    state: RefundState
    amount: Decimal
    currency: str
    refund: str = ""
    """What the caller of `refund` gave."""
    failure: str = ""


class DisputeState(StrEnum):
    OPEN = "open"
    WON = "won"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class CardDispute:
    reference: str
    charge: str
    state: DisputeState
    amount: Decimal
    currency: str
    reason: str = ""
    fee: Decimal = Decimal(0)
    """What the provider keeps for it, in the currency of `fee_currency`."""
    fee_currency: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """What the provider tells. It names an object; its state is asked for, never taken from here."""

    reference: str
    type: str
    object_type: str
    object_reference: str
    is_live: bool
    created_at: datetime
    payload: Mapping[str, Any] = field(default_factory=dict, repr=False)


class BadEvent(Exception):
    """It is not from the provider, too old, or no event at all; the text says which."""


class NotApplicable(Exception):
    """Nothing here belongs to the object, or it contradicts what is here. Staff see the text beside the event."""


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

    def fetch_dispute(self, reference: str) -> Answer[CardDispute]: ...

    def parse_event(self, body: bytes, signature: str) -> Event:
        """Raises BadEvent. Signed more than 300 seconds ago, by this process' clock, is too old."""
        ...

    def events_since(self, since: datetime) -> Answer[Sequence[Event]]:
        """What happened after an instant, oldest first; providers keep about 30 days."""
        ...
