"""Settings of cards that would be wrong are told at the start."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import Tags, run_checks

from tests.billing_site.operations.checks.said import said_of_settings

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
    assert [each.rpartition(".")[2] for each in said_of_settings()] == found


@pytest.mark.parametrize(("key", "is_told"), [(TEST, True), (LIVE, False), ("", False)])
def test_a_live_site_in_test_mode_is_told(settings: Any, key: str, is_told: bool) -> None:
    settings.STRIPE_SECRET_KEY = key
    told = {message.id for message in run_checks(tags=[Tags.security], include_deployment_checks=True)}
    assert ("billing_site.W031" in told) is is_told
