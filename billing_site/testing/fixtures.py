"""Fixtures for the tests of a host product, on real engines: pytest_plugins = ["billing_site.testing.fixtures"].

Each test begins with an empty Redis and a process that remembers nothing. The settings of such tests are made as
billing_site/testing/settings.py says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

CALLERS_NAME = "{plan}-{number}"


@dataclass
class Customer:
    """A user on a plan, an API key, and a client that sends it."""

    user: Any
    key: str
    client: Any


@pytest.fixture(autouse=True)
def empty_engines() -> Iterator[None]:
    """As a new process on an empty Redis; and committing tests empty the database behind them as it can be emptied."""
    from django.test import TransactionTestCase

    from billing_site.testing.emptying import empty_database
    from ratelimit import process_state
    from ratelimit.store import client

    TransactionTestCase._fixture_teardown = empty_database  # type: ignore[attr-defined]
    client().flushall()
    process_state.start_anew()
    yield
    process_state.start_anew()


@pytest.fixture
def catalogue(db: None) -> None:
    """The default plans, features and routes; add your own features in a fixture of yours."""
    from django.core.management import call_command

    call_command("seed_catalogue", verbosity=0)


@pytest.fixture
def on_plan(catalogue: None) -> Callable[[Any, str], Any]:
    """`on_plan(user, "pro")` puts a user on a plan from now on, whatever it was on, and gives the user back."""
    from django.utils import timezone

    from billing.models import Plan, Subscription
    from billing.subscriptions import opening
    from ratelimit import process_state

    def put(user: Any, code: str) -> Any:
        plan = Plan.objects.get(code=code)
        if not Subscription.objects.live().filter(account=user).update(plan=plan):
            opening.subscribe(user.pk, plan, timezone.now())
        process_state.start_anew()  # nothing is pushed to Redis within a test's transaction
        return user

    return put


@pytest.fixture
def key_client(db: None) -> Callable[..., Any]:
    """`key_client(user)` is a test client that sends a new API key of the user; its `key` is the key."""
    from django.test import Client

    from billing.models import ApiKey

    def make(user: Any, scope: str = "") -> Any:
        _, key = ApiKey.issue(account=user, name="made for a test", scope=scope)
        client = Client(headers={"authorization": f"Bearer {key}"}, raise_request_exception=False)
        client.key = key  # type: ignore[attr-defined]
        return client

    return make


@pytest.fixture
def cast(on_plan: Callable[[Any, str], Any], key_client: Callable[..., Any]) -> Callable[..., Customer]:
    """`cast("pro")` is a new customer on that plan: user, key and client."""
    from billing.users import User, name_field

    made: list[Customer] = []

    def play(plan: str, scope: str = "") -> Customer:
        name = CALLERS_NAME.format(plan=plan, number=len(made) + 1)
        named = f"{name}@example.com" if name_field() == "email" else name
        user = User._default_manager.create(**{name_field(): named})
        client = key_client(on_plan(user, plan), scope)
        made.append(Customer(user, client.key, client))
        return made[-1]

    return play


@pytest.fixture
def clock() -> Iterator[Any]:
    """Time stands still until `clock.tick(seconds)` or `clock.move_to(instant)`; the minute is judged by it as well."""
    from billing_site.testing.clock import moved_by_hand

    with moved_by_hand() as moved:
        yield moved
