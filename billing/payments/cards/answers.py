"""What a provider of card payments answers: values, and errors as values.

Each error asks for something else: `Declined` and `Rejected` are a no, and nothing was moved. `Unknown` is neither yes
nor no: the request may have been executed, so only the same request under the same key may follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, TypeAlias, TypeVar

from billing.rules.payments.declines import DeclineKind

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
