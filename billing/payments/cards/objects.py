"""What is done with an object of the provider's when an event names it: it is fetched, and its state is applied.

Events may come twice, in any order, or never: what they say is not looked at. So applying is idempotent, and what is
final stays final.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from billing.payments.cards import disputes, methods, refunds
from billing.payments.cards.answers import Answer
from billing.payments.cards.charging.provider_reports import apply_charge, apply_page
from billing.payments.cards.gateway import Gateway

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ObjectType(Generic[T]):
    """`apply(gateway, object, now)` opens its own transactions, so that it may call the provider between them."""

    fetch: Callable[[Gateway, str], Answer[T]]
    apply: Callable[[Gateway, T, datetime], None]


OBJECT_TYPES: Final[Mapping[str, ObjectType[Any]]] = {
    "setup_intent": ObjectType(lambda gateway, reference: gateway.fetch_set_up(reference), methods.apply_set_up),
    "payment_method": ObjectType(lambda gateway, reference: gateway.fetch_card(reference), methods.apply_card),
    "payment_intent": ObjectType(lambda gateway, reference: gateway.fetch_charge(reference), apply_charge),
    "checkout.session": ObjectType(lambda gateway, reference: gateway.fetch_page(reference), apply_page),
    "refund": ObjectType(lambda gateway, reference: gateway.fetch_refund(reference), refunds.apply_refund),
    "dispute": ObjectType(lambda gateway, reference: gateway.fetch_dispute(reference), disputes.apply_dispute),
}
"""By the provider's name for the type. An event about any other type is kept, and nothing is done."""
