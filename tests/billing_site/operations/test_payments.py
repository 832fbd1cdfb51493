"""Payments as operators see them: wrong settings at the start, events that wait in /health and /metrics."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.checks import Tags, run_checks
from django.test import Client
from django.utils import timezone

from billing.models import PaymentAttempt, ProviderEvent
from billing_site.operations.checks import settings as checks
from tests.billing.payments.cards.buyer import Buyer, buyer
from tests.servers.card.running import CardServer

__all__ = ["buyer"]
OFF: dict[str, Any] = {"STRIPE_SECRET_KEY": "", "STRIPE_WEBHOOK_SECRET": "", "STRIPE_API_BASE": "", "DEBUG": False}
TEST, LIVE = "sk_test_abc", "rk_live_abc"
WHSEC = "whsec_abc"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, []),
        ({"STRIPE_WEBHOOK_SECRET": WHSEC}, ["E030"]),
        ({"STRIPE_SECRET_KEY": "pk_test_abc", "STRIPE_WEBHOOK_SECRET": WHSEC}, ["E031"]),
        ({"STRIPE_SECRET_KEY": TEST, "STRIPE_WEBHOOK_SECRET": WHSEC, "DEBUG": True}, []),
        ({"STRIPE_SECRET_KEY": LIVE, "STRIPE_WEBHOOK_SECRET": WHSEC}, []),
        ({"STRIPE_SECRET_KEY": LIVE, "STRIPE_WEBHOOK_SECRET": WHSEC, "DEBUG": True}, ["E032"]),
        (
            {"STRIPE_SECRET_KEY": LIVE, "STRIPE_WEBHOOK_SECRET": WHSEC, "STRIPE_API_BASE": "http://localhost:1"},
            ["E033"],
        ),
        ({"STRIPE_SECRET_KEY": TEST}, ["W030"]),
        ({"STRIPE_SECRET_KEY": TEST, "STRIPE_WEBHOOK_SECRET": "abc"}, ["E034"]),
    ],
)
def test_wrong_settings_are_told_at_the_start(settings: Any, given: dict[str, Any], found: list[str]) -> None:
    for name, value in (OFF | given).items():
        setattr(settings, name, value)
    told = run_checks(tags=[checks.ENFORCEMENT])
    assert all(message.hint for message in told)
    assert [str(message.id).rpartition(".")[2] for message in told] == found


@pytest.mark.parametrize(("key", "is_told"), [(TEST, True), (LIVE, False), ("", False)])
def test_a_live_site_in_test_mode_is_told(settings: Any, key: str, is_told: bool) -> None:
    settings.STRIPE_SECRET_KEY = key
    told = {message.id for message in run_checks(tags=[Tags.security], include_deployment_checks=True)}
    assert ("billing_site.W031" in told) is is_told


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
