"""For every test an empty Redis and a process that remembers nothing; on demand the catalogue and the cast."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.test import TransactionTestCase
from django.utils import timezone

from ratelimit import process_state
from ratelimit.store import client as redis_client
from tests.cast import alice, bob, carol, clerk, customer, dave, erin, superuser
from tests.catalogue import seed
from tests.effort import choose_examples
from tests.emptying import empty_database
from tests.servers.card.running import card_server
from tests.suites import suites_of


def pytest_configure() -> None:
    """Let SIGINT end this run and what its tests start, also when a script has started the run in the background.

    A shell without job control starts such a run with SIGINT ignored, and every child would inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    choose_examples()
    TransactionTestCase._fixture_teardown = empty_database  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    """Say by which signal or code a process of pytest-xdist ended before its tests did: xdist names its test alone."""
    if error:
        with suppress(subprocess.TimeoutExpired):  # it lives, and cannot be heard
            code = node.gateway._io.popen.wait(10)
            how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
            print(f"\n{node.gateway.id} ended {how}", file=sys.stderr)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for suite in suites_of(item.nodeid.partition("::")[0]):
            item.add_marker(suite)


@pytest.fixture(autouse=True)
def empty_redis() -> Iterator[None]:
    forget_everything()
    yield


def forget_everything() -> None:
    """As a new process on an empty Redis."""
    redis_client().flushall()
    process_state.start_anew()


@pytest.fixture
def catalogue(db: None) -> None:
    """The default plans, features and routes."""
    seed(timezone.now())


__all__ = ["alice", "bob", "card_server", "carol", "clerk", "customer", "dave", "erin", "superuser"]
