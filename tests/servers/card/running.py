"""The test provider as tests have it: `card_server`, started once a process, empty at the start of each test."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from django.test import Client

from billing.payments.cards.configured import card_gateway
from tests.servers.card.__main__ import PYTHON, STARTS_WITHIN_SECONDS
from tests.servers.card.telling import SECRET
from tests.servers.running import run

VISA = "4242424242424242"
DECLINED_LATER = "4000000000000341"
CONFIRMED_ONCE, CONFIRMED_ALWAYS = "4000002500003155", "4000002760003184"
KEY = "sk_test_ourselves"


class CardServer:
    """What a test says to the provider, and what it asks of it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __getattr__(self, name: str) -> Any:
        """`save_card(customer=, number=)`, `update_card(reference=, year=, month=)`, `decline(card=, code=)`,
        `dispute(payment=)`, `close_dispute(reference=, status=)`, `fail_refund(reference=)`, `detach(reference=)`,
        `tell(type=, subject=)`."""
        return lambda **given: self._control(name, given)

    def fault(self, kind: str, path: str, times: int = 1, seconds: float = 0) -> None:
        """`refuse`, `lose`, `error` or `delay` the next requests whose "METHOD path" has the pattern."""
        self._control("fault", {"kind": kind, "path": path, "times": times, "seconds": seconds})

    def asked(self, pattern: str = "") -> list[str]:
        """The requests that were executed, as "METHOD path"."""
        return [each for each in self._control("asked", {}) if pattern in each]

    def pending(self, **given: Any) -> list[dict[str, str]]:
        """The webhooks that were not sent, oldest first; `seconds_ago` and `secret` change their signatures."""
        webhooks: list[dict[str, str]] = self._control("pending", given)
        return webhooks

    def deliver(self, client: Client, webhooks: list[dict[str, str]] | None = None) -> list[int]:
        """Send webhooks to the site, by default those that wait; the status of each answer."""
        return [
            client.post(
                "/payments/stripe/webhook",
                webhook["body"],
                content_type="application/json",
                headers={"stripe-signature": webhook["signature"]},
            ).status_code
            for webhook in (self.pending() if webhooks is None else webhooks)
        ]

    def fill_in(self, page: str, number: str = VISA, *steps: str, expiry: str = "12/34") -> str:
        """What a customer does on a hosted page: a card, then the bank's `yes` or `no`. Where the page leads, or "" and
        then `said` is what stands on it."""
        form = {"number": number, "expiry": expiry, "cvc": "123", "step": "card"}
        there = self._submit(page, form)
        for step in steps:
            there = self._submit(page, {"step": step})
        return there

    def _submit(self, page: str, form: dict[str, str]) -> str:
        import requests

        answer = requests.post(page, form, allow_redirects=False, timeout=30)
        self.said = answer.text
        return answer.headers.get("Location", "")

    def _control(self, name: str, given: dict[str, Any]) -> Any:
        request = urllib.request.Request(f"{self.url}/_control/{name}", json.dumps(given).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


@cache
def started() -> CardServer:
    """Raises pytest's Skipped where it is not installed."""
    if not PYTHON.exists():
        pytest.skip("the test provider of cards is not installed: make card-server")
    url = run("tests.servers.card", lambda url: CardServer(url).asked(), STARTS_WITHIN_SECONDS)
    return CardServer(url)


@pytest.fixture
def card_server(settings: Any) -> Iterator[CardServer]:
    """An empty provider, which the site is configured to use; webhooks wait until a test delivers them."""
    server = started()
    server._control("reset", {})
    settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET, settings.STRIPE_API_BASE = KEY, SECRET, server.url
    settings.BILLING_HAS_PAYMENT_METHOD = "billing.payments.cards.methods.accounts_with_a_card"
    assert card_gateway() is not None
    yield server
