"""What Stripe tells, as its client reads it: listed, and signed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing.payments.cards.answers import Answered, BadEvent
from billing.payments.cards.gateway import Gateway
from tests.servers.card.running import VISA, CardServer

pytestmark = pytest.mark.django_db


@pytest.fixture
def customer(gateway: Gateway) -> str:
    answer = gateway.create_customer(7, email="alice@example.com", key="customer-7")
    assert isinstance(answer, Answered)
    return answer.value


def listed(gateway: Gateway, since: datetime) -> Any:
    answer = gateway.events_since(since)
    assert isinstance(answer, Answered)
    return answer.value


def test_what_happened_is_listed_oldest_first(card_server: CardServer, gateway: Gateway, customer: str) -> None:
    card = card_server.save_card(customer=customer, number=VISA)
    for _ in range(120):  # more than a page
        card_server.update_card(reference=card["id"], year=2035, month=1)
    events = listed(gateway, datetime.now(UTC) - timedelta(hours=1))
    assert len(events) == 121
    assert events[0].type == "payment_method.attached"
    assert (events[0].object_type, events[0].object_reference) == ("payment_method", card["id"])
    assert listed(gateway, datetime.now(UTC) + timedelta(hours=1)) == []


def test_one_is_read_with_its_signature(card_server: CardServer, gateway: Gateway, customer: str) -> None:
    card_server.save_card(customer=customer, number=VISA)
    (told,) = card_server.pending()
    event = gateway.parse_event(told["body"].encode(), told["signature"])
    assert (event.type, event.is_live) == ("payment_method.attached", False)
    assert event.payload == json.loads(told["body"])


@pytest.mark.parametrize("given", [{"secret": "whsec_of_somebody"}, {"seconds_ago": 301}])
def test_a_forged_or_an_old_one_is_refused(
    card_server: CardServer, gateway: Gateway, customer: str, given: Any
) -> None:
    card_server.save_card(customer=customer, number=VISA)
    (told,) = card_server.pending(**given)
    with pytest.raises(BadEvent):
        gateway.parse_event(told["body"].encode(), told["signature"])


@pytest.mark.parametrize("signature", ["", "t=1", "v1=abc", "t=x,v1=y", "\x00", "t=1,v1=ü"])
def test_a_signature_that_is_none(gateway: Gateway, signature: str) -> None:
    with pytest.raises(BadEvent):
        gateway.parse_event(b"{}", signature)
