"""The cache's Redis hangs: it is asked once, and then no more until it is well."""

from __future__ import annotations

import copy
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from billing_site.cache import breaker
from tests.cast import Customer

pytestmark = pytest.mark.django_db
TIMEOUT_SECONDS = 0.4
GET = "/api/v1/usage/current"


class SilentCache:
    """A server that takes connections and commands and never answers; who has waited in vain comes with another one."""

    def __init__(self, own: Any) -> None:
        self.own = own
        """The settings of the run's own cache."""
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=100)
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]
        self._taken: list[socket.socket] = []

    def asked(self) -> int:
        """How many connections there have been."""
        with suppress(BlockingIOError):
            while True:
                self._taken.append(self._socket.accept()[0])
        return len(self._taken)

    def close(self) -> None:
        for taken in [self._socket, *self._taken]:
            taken.close()


@pytest.fixture
def silent_cache(settings: Any) -> Iterator[SilentCache]:
    with closing(SilentCache(settings.CACHES)) as silent:
        others = copy.deepcopy(silent.own)
        others["default"]["LOCATION"] = f"redis://127.0.0.1:{silent.port}/1"
        others["default"]["OPTIONS"] |= {
            "SOCKET_CONNECT_TIMEOUT": TIMEOUT_SECONDS,
            "SOCKET_TIMEOUT": TIMEOUT_SECONDS,
        }
        settings.CACHES = others
        yield silent


def test_unknown_keys_pour_in_and_only_the_first_waits(alice: Customer, silent_cache: SilentCache) -> None:
    def unknown(number: int) -> None:
        response = Client(headers={"authorization": f"Bearer abcdefgh.{number}"}).get(GET)
        assert response.status_code == 401

    unknown(0)
    assert breaker.is_open
    assert silent_cache.asked() == 1
    for number in range(1, 11):
        unknown(number)
        cache.get("nothing")
    assert silent_cache.asked() == 1


def test_a_good_key_that_is_not_known_yet_is_served(alice: Customer, silent_cache: SilentCache) -> None:
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
def test_every_door_of_the_cache_knows_the_circuit(work: Any, silent_cache: SilentCache) -> None:
    cache.get("opens it")
    assert breaker.is_open
    work()
    assert silent_cache.asked() == 1


def test_it_is_asked_again_once_it_is_well(silent_cache: SilentCache, settings: Any) -> None:
    cache.get("opens it")
    assert not breaker.attempt()
    settings.CACHES = silent_cache.own  # the run's own server again
    assert cache.get("still open") is None
    assert breaker.is_open
    assert breaker.attempt()
    cache.set("kept", 7)
    assert cache.get("kept") == 7


def test_a_cache_that_is_well_is_used(db: None) -> None:
    cache.set("kept", 7)
    assert (cache.get("kept"), cache.incr("kept"), breaker.is_open) == (7, 8, False)
