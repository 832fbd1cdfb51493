"""A customer with top-ups: what she uses, and where she stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import LimitOverride, TokenTopUp
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import left

TRACE, CURRENT = "/api/v1/trace/start", "/api/v1/usage/current"
ARRIVED = 10
"""Seconds after a lapse, when nothing of before can be on its way any more."""


@pytest.fixture
def clock() -> Iterator[Any]:
    with moved_by_hand("2031-03-05T12:00:00Z") as clock:
        yield clock


@pytest.fixture
def ann(customer: Callable[..., Customer], clock: Any) -> Customer:
    """100 tokens a month, as many requests as she likes; her key may void."""
    ann = customer("ann", "community", scope="meter")
    LimitOverride.objects.create(account=ann.user, limit="minute", maximum=None)
    return ann


def top_up(customer: Customer, tokens: int = 50, days: float | None = 3) -> TokenTopUp:
    expires_at = None if days is None else timezone.now() + timedelta(days=days)
    return TokenTopUp.objects.create(account=customer.user, tokens=tokens, expires_at=expires_at)


def use(customer: Customer, tokens: int) -> None:
    for _ in range(tokens // 10):
        assert customer.api.get(TRACE).status_code == 200


def stands(customer: Customer) -> tuple[int, int, int]:
    """Tokens used, the quota, and what is left: in the body, and the last in the headers as well."""
    response = customer.api.get(CURRENT)
    body = response.json()
    assert left(response)["quota"] == body["tokens_remaining"]
    return body["tokens_used"], body["quota"], body["tokens_remaining"]


def exhaust(customer: Customer) -> int:
    """Tokens that were still to be had, in calls of ten."""
    for calls in range(100):
        if customer.api.get(TRACE).status_code == 429:
            return calls * 10
    raise AssertionError("there is no end to it")


def spent() -> list[int | None]:
    return list(TokenTopUp.objects.order_by("pk").values_list("spent", flat=True))
