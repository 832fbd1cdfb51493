"""The cache's Redis hangs: it is asked once, and then no more until it is well."""

from __future__ import annotations

import copy
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from billing_site.cache import breaker
from tests.cast import Customer

pytestmark = pytest.mark.django_db
TIMEOUT_SECONDS = 0.4
GET = "/api/v1/usage/current"


@pytest.fixture
def silent_cache(settings: Any) -> Iterator[Any]:
    """A server that takes connections and commands and never answers; yields the settings of the run's own."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(100)
        own, others = settings.CACHES, copy.deepcopy(settings.CACHES)
        others["default"]["LOCATION"] = f"redis://127.0.0.1:{silent.getsockname()[1]}/1"
        others["default"]["OPTIONS"] |= {
            "SOCKET_CONNECT_TIMEOUT": TIMEOUT_SECONDS,
            "SOCKET_TIMEOUT": TIMEOUT_SECONDS,
        }
        settings.CACHES = others
        yield own


def seconds_of(work: Any) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def test_unknown_keys_pour_in_and_only_the_first_waits(alice: Customer, silent_cache: None) -> None:
    def unknown(number: int) -> None:
        response = Client(headers={"authorization": f"Bearer abcdefgh.{number}"}).get(GET)
        assert response.status_code == 401

    first = seconds_of(lambda: unknown(0))
    assert first >= TIMEOUT_SECONDS
    assert breaker.is_open
    assert seconds_of(lambda: [unknown(number) for number in range(1, 11)]) < 10 * TIMEOUT_SECONDS
    assert seconds_of(lambda: [cache.get("nothing") for _ in range(100)]) < TIMEOUT_SECONDS


def test_a_good_key_that_is_not_known_yet_is_served(alice: Customer, silent_cache: None) -> None:
    assert alice.api.get(GET).status_code == 200


@pytest.mark.parametrize(
    "work",
    [
        lambda: cache.get("a"),
        lambda: cache.set("a", 1),
        lambda: cache.add("a", 1),
        lambda: cache.set_many({"a": 1, "b": 2}),
        lambda: cache.get_many(["a", "b"]),
        lambda: cache.delete("a"),
        lambda: cache.has_key("a"),
    ],
)
def test_every_door_of_the_cache_knows_the_circuit(work: Any, silent_cache: None) -> None:
    cache.get("opens it")
    assert breaker.is_open
    assert seconds_of(work) < TIMEOUT_SECONDS / 2


def test_it_is_asked_again_once_it_is_well(silent_cache: Any, settings: Any) -> None:
    cache.get("opens it")
    assert not breaker.attempt()
    settings.CACHES = silent_cache  # the run's own server again
    assert cache.get("still open") is None
    assert breaker.is_open
    assert breaker.attempt()
    cache.set("kept", 7)
    assert cache.get("kept") == 7


def test_a_cache_that_is_well_is_used(db: None) -> None:
    cache.set("kept", 7)
    assert (cache.get("kept"), cache.incr("kept"), breaker.is_open) == (7, 8, False)
