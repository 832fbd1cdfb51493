"""Saving a card, as a customer does on the provider's page."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from billing.models import PaymentMethod
from billing.payments.cards import methods
from billing.payments.cards.answers import Answered
from billing.payments.cards.gateway import Gateway
from tests.cast import Customer
from tests.servers.card.running import VISA, CardServer

DONE, LEFT = "http://site.example/done?page={page}", "http://site.example/left"


def begin(gateway: Gateway, customer: Customer) -> Any:
    page = methods.begin_set_up(gateway, customer.account, timezone.now(), done_url=DONE, left_url=LEFT)
    assert isinstance(page, Answered), page
    return page.value


def save(gateway: Gateway, server: CardServer, customer: Customer, number: str = VISA, **form: Any) -> PaymentMethod:
    """As a customer does on the hosted page, and comes back from it."""
    page = begin(gateway, customer)
    assert server.fill_in(page.url, number, **form)
    come_back(gateway, page.reference)
    return PaymentMethod.objects.latest("pk")


def come_back(gateway: Gateway, reference: str) -> Any:
    seen = gateway.fetch_page(reference)
    assert isinstance(seen, Answered) and seen.value.set_up is not None
    methods.apply_set_up(gateway, seen.value.set_up, timezone.now())
    return seen.value.set_up
