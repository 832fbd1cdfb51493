"""A body that is signed and is no event, or says what PostgreSQL does not take, as nobody should ever send it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.test import Client

from billing.models import ProviderEvent
from tests.servers.card.running import CardServer
from tests.servers.card.telling import signed_text

pytestmark = pytest.mark.django_db
ODD: dict[str, dict[str, Any]] = {
    "no id": {"id": None},
    "empty id": {"id": ""},
    "list as id": {"id": ["evt_1"]},
    "null character": {"id": "evt_\0"},
    "half a character": {"type": "\ud800"},
    "type": {"type": 5},
    "mode": {"livemode": "false"},
    "object's type": {"data": {"object": {"object": None, "id": "pi_1"}}},
    "object's id": {"data": {"object": {"object": "payment_intent", "id": "pi_\0"}}},
    "instant": {"created": 10**30},
}


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def event(**odd: Any) -> dict[str, Any]:
    subject = {"object": "payment_intent", "id": "pi_1"}
    told = {"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "created": 1_790_000_000}
    return told | {"livemode": False, "data": {"object": subject}} | odd


def answered(card_server: CardServer, client: Client, body: str) -> int:
    (status,) = card_server.deliver(client, [signed_text(body, int(time.time()))])
    return status


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_what_is_no_event_is_refused(card_server: CardServer, client: Client, odd: dict[str, Any]) -> None:
    assert answered(card_server, client, json.dumps(event())) == 200
    assert answered(card_server, client, json.dumps(event(id="evt_2") | odd)) == 400
    assert ProviderEvent.objects.count() == 1


def test_what_is_nested_too_deep_is_refused(card_server: CardServer, client: Client) -> None:
    deep = json.dumps(event(more="x")).replace('"x"', "[" * 100_000 + "]" * 100_000)
    assert answered(card_server, client, deep) == 400


def test_whatever_it_says_is_kept_but_for_what_is_no_character(card_server: CardServer, client: Client) -> None:
    assert answered(card_server, client, json.dumps(event(more="a\0b \\u0000 \ud800 😀"))) == 200
    assert ProviderEvent.objects.get().payload["more"] == "ab \\u0000 ? 😀"
