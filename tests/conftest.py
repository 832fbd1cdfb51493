"""The cast, and for every test an empty Redis and a process that remembers nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from billing.catalogue import published
from billing.entitlements import api_keys, snapshots
from billing.entitlements.api_keys import Caller
from billing.models import ApiKey, Plan
from billing.subscriptions import opening
from ratelimit.store import client as redis_client
from tests.catalogue import seed
from tests.schema import CheckedClient
from usage.metering import fallback, voiding
from usage.sync import outage


def pytest_configure() -> None:
    """Let SIGINT end this run and what its tests start, also when a script has started the run in the background.

    A shell without job control starts such a run with SIGINT ignored, and every child would inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def empty_redis() -> Iterator[None]:
    forget_everything()
    yield


def forget_everything() -> None:
    """As a new process on an empty Redis."""
    redis_client().flushall()
    published.forget_everything()
    snapshots.forget_everything()
    api_keys.forget_everything()
    outage.forget_everything()
    fallback.minutes.clear()
    voiding.forget_everything()


@dataclass
class Customer:
    """One of the cast: a user on a plan, an API key, and a client that sends it."""

    user: Any
    key: str
    api: Client

    @property
    def account(self) -> int:
        return int(self.user.pk)

    @property
    def caller(self) -> Caller:
        identity = api_keys.look_up(self.key)
        assert identity is not None
        return Caller(self.account, self.key, identity)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self.api.post(path, body, content_type="application/json", headers=headers)


@pytest.fixture
def catalogue(db: None) -> None:
    """The default plans, features and routes."""
    seed(timezone.now())


@pytest.fixture
def customer(catalogue: None) -> Callable[..., Customer]:
    def make(name: str, plan: str, scope: str = "") -> Customer:
        user = get_user_model().objects.create_user(name)
        opening.subscribe(user.pk, Plan.objects.get(code=plan), timezone.now())
        _, key = ApiKey.issue(account=user, name=f"{name}'s key", scope=scope)
        api = CheckedClient(headers={"authorization": f"Bearer {key}"}, raise_request_exception=False)
        return Customer(user, key, api)

    return make


@pytest.fixture
def alice(customer: Callable[..., Customer]) -> Customer:
    """On community: 100 tokens a month, 10 requests a minute, no capability."""
    return customer("alice", "community")


@pytest.fixture
def bob(customer: Callable[..., Customer]) -> Customer:
    """On starter: 500 tokens, 30 requests a minute, investigator."""
    return customer("bob", "starter")


@pytest.fixture
def carol(customer: Callable[..., Customer]) -> Customer:
    """On pro: unlimited tokens, 100 requests a minute, investigator and correlation."""
    return customer("carol", "pro")


@pytest.fixture
def dave(customer: Callable[..., Customer]) -> Customer:
    """On business: unlimited tokens, 200 requests a minute, everything; his key may void."""
    return customer("dave", "business", scope="meter")


@pytest.fixture
def erin(customer: Callable[..., Customer]) -> Customer:
    """On enterprise: nothing is limited."""
    return customer("erin", "enterprise")
