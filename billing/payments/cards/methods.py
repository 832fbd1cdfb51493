"""Saved cards: a customer saves one on the provider's page, chooses the default, removes one.

Rows are written under the lock of the account's `ProviderCustomer`, which is taken after that of its ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from billing.models import PaymentMethod
from billing.payments.cards.gateway import Answer, Card, Gateway, HostedPage, SetUp


def methods_of(account: int) -> list[PaymentMethod]:
    """Cards that can be charged, the default first; none while cards are off."""
    raise NotImplementedError


def default_method(account: int) -> PaymentMethod | None:
    """What is charged when an invoice is issued. It may have expired: banks often know of the next one."""
    raise NotImplementedError


def customer_of(gateway: Gateway, account: int, now: datetime) -> Answer[str]:
    """The account's reference at the provider; made there at its first use. Calls the provider: in no transaction."""
    raise NotImplementedError


def begin_set_up(
    gateway: Gateway, account: int, now: datetime, *, done_url: str, left_url: str, language: str = ""
) -> Answer[HostedPage]:
    """A page on which a customer saves a card."""
    raise NotImplementedError


def make_default(account: int, method: int, now: datetime) -> PaymentMethod:
    """Raises PaymentMethod.DoesNotExist."""
    raise NotImplementedError


def remove(gateway: Gateway, account: int, method: int, now: datetime) -> None:
    """It is not charged from now on, also while the provider does not answer. Raises PaymentMethod.DoesNotExist."""
    raise NotImplementedError


def apply_set_up(gateway: Gateway, set_up: SetUp, now: datetime) -> None:
    """Save the card of a set-up that has succeeded."""
    raise NotImplementedError


def apply_card(gateway: Gateway, card: Card, now: datetime) -> None:
    """A card as the provider knows it now: with another expiry, or detached there."""
    raise NotImplementedError


def accounts_with_a_card(at: Mapping[int, datetime]) -> Collection[int]:
    """As BILLING_HAS_PAYMENT_METHOD wants it."""
    raise NotImplementedError
