"""Who has a saved card that can be charged, and when: what trials ask."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.fence.models import Fence
from billing.models import PaymentMethod
from billing.payment_methods import accounts_with_payment_method
from billing.payments.cards import methods
from billing.payments.cards.configured import card_gateway
from billing.payments.cards.gateway import Gateway
from tests.billing.payments.cards.saving import save
from tests.cast import Customer
from tests.servers.card.running import CardServer

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "has_one"),
    [
        (-timedelta(seconds=1), False),
        (timedelta(0), True),
        (timedelta(days=9, hours=23), True),
        (timedelta(days=10), False),  # it is removed
    ],
)
def test_from_when_it_is_saved_until_it_is_removed(
    gateway: Gateway, card_server: CardServer, bob: Customer, at: timedelta, has_one: bool
) -> None:
    row = save(gateway, card_server, bob)
    PaymentMethod.objects.update(created_at=NOW)
    methods.remove(bob.account, row.pk, NOW + timedelta(days=10))
    assert (bob.account in accounts_with_payment_method({bob.account: NOW + at})) is has_one


@pytest.mark.parametrize(
    ("at", "has_one"),
    [(datetime(2027, 1, 31, 23, 59, tzinfo=UTC), True), (datetime(2027, 2, 1, tzinfo=UTC), False)],
)
def test_until_the_end_of_the_month_on_the_card(
    gateway: Gateway, card_server: CardServer, bob: Customer, at: datetime, has_one: bool
) -> None:
    save(gateway, card_server, bob, expiry="01/27")
    assert (bob.account in accounts_with_payment_method({bob.account: at})) is has_one


def test_who_saves_or_removes_one_raises_the_accounts_fence(
    gateway: Gateway, card_server: CardServer, bob: Customer
) -> None:
    def version() -> int:
        return Fence.objects.get(subject=bob.account).version

    before = version()
    row = save(gateway, card_server, bob)
    saved = version()
    assert saved > before
    methods.remove(bob.account, row.pk, NOW)
    assert version() > saved


def test_nobody_while_cards_are_off(gateway: Gateway, card_server: CardServer, bob: Customer, settings: Any) -> None:
    save(gateway, card_server, bob)
    settings.STRIPE_SECRET_KEY = ""
    assert card_gateway() is None
    assert methods.methods_of(bob.account) == []
    assert not accounts_with_payment_method({bob.account: NOW + timedelta(days=1)})


def test_a_card_of_test_mode_is_none_on_a_live_site(
    gateway: Gateway, card_server: CardServer, bob: Customer, settings: Any
) -> None:
    save(gateway, card_server, bob)
    settings.STRIPE_SECRET_KEY = "sk_live_ours"
    assert methods.methods_of(bob.account) == []
