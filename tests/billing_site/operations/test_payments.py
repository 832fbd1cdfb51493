"""Payments as operators see them: events that wait, and charges whose outcome nobody knows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import PaymentAttempt, ProviderEvent
from tests.billing.payments.cards.buyer import Buyer, buyer
from tests.servers.card.running import CardServer

__all__ = ["buyer"]


def event(state: str, minutes: int) -> None:
    at = timezone.now() - timedelta(minutes=minutes)
    facts = {"type": "setup_intent.succeeded", "object_type": "setup_intent", "object_reference": "seti_1"}
    ProviderEvent.objects.create(
        provider="stripe",
        reference=f"evt_{minutes}",
        is_live=False,
        created_at=at,
        received_at=at,
        state=state,
        **facts,
    )


@pytest.mark.django_db
def test_events_that_wait_or_failed_are_a_degraded_part(card_server: CardServer, settings: Any) -> None:
    event("received", 14)
    event("done", 100)
    assert Client().get("/health").json()["parts"]["card_events"] == "ok"
    event("received", 16)
    answer = Client().get("/health")
    assert (answer.status_code, answer.json()["degraded"]) == (200, ["card_events"])
    event("failed", 200)
    text = Client().get("/metrics").text
    assert "metered_card_events_late 1.0" in text and "metered_card_events_failed 1.0" in text
    settings.STRIPE_SECRET_KEY = ""
    assert "card_events" not in Client().get("/health").text + Client().get("/metrics").text


@pytest.mark.django_db
def test_charges_whose_outcome_nobody_knows_are_a_degraded_part(buyer: Buyer, settings: Any) -> None:
    buyer.card()
    buyer.server.fault("lose", "POST /v1/payment_intents$")
    attempt = buyer.issued()
    assert Client().get("/health").json()["parts"]["card_attempts"] == "ok"
    long_ago = timezone.now() - timedelta(minutes=16)
    PaymentAttempt.objects.filter(pk=attempt.pk).update(created_at=long_ago)
    answer = Client().get("/health")
    assert (answer.status_code, answer.json()["parts"]["card_attempts"]) == (200, "unknown outcomes")
    assert "metered_card_attempts_unknown 1.0" in Client().get("/metrics").text
    buyer.beat(timezone.now() + timedelta(minutes=2))
    assert Client().get("/health").json()["parts"]["card_attempts"] == "ok"
    settings.STRIPE_SECRET_KEY = ""
    assert "card_attempts" not in Client().get("/health").text + Client().get("/metrics").text
