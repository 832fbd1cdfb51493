"""Calls by key and by route while Redis is out of reach, and how it comes back."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.usage.histories import in_redis_now
from usage.log.idempotency.key_records import longest_request
from usage.sync import outage

TRACE, SCORE, TRACK = "/api/v1/trace/start", "/api/v1/risk/score", "/api/v1/usage/track"


@pytest.fixture(autouse=True)
def one_process(settings: Any) -> None:
    settings.WEB_PROCESSES = 1


def keyed(customer: Customer, body: Any = None) -> Any:
    return customer.post(SCORE, body or {}, **{"Idempotency-Key": "k"})


def after_the_longest_request() -> AbstractContextManager[Any]:
    return moved_by_hand(f"{timezone.now() + longest_request() + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}")


def redis_is_back() -> None:
    assert outage.breaker.attempt()


def judged_by_redis(customer: Customer) -> int:
    """Tokens used as Redis judges them, found out by a call that it decides."""
    assert customer.api.get("/api/v1/usage/current").status_code == 200
    assert not outage.breaker.is_open
    return in_redis_now(customer, time.time_ns() // 1_000_000)
