"""Ways to an engine that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections

from ratelimit import server, store


@contextmanager
def no_redis(settings: Any) -> Iterator[None]:
    """Nobody reaches Redis in here, the request path included; what it holds is untouched."""
    address = settings.REDIS_URL
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    for way in (store.store, store.client):
        way.cache_clear()
    yield
    settings.REDIS_URL = address
    for way in (store.store, store.client):
        way.cache_clear()


@pytest.fixture
def redis_gone(settings: Any) -> Iterator[None]:
    with no_redis(settings):
        yield


@contextmanager
def lost_replies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Redis does what it is told in here, and nobody hears its answer."""
    real = server.SingleServer.run

    def run(self: Any, *arguments: Any, **named: Any) -> Any:
        real(self, *arguments, **named)
        raise server.RedisUnreachable("the answer was lost")

    with monkeypatch.context() as deaf:
        deaf.setattr(server.SingleServer, "run", run)
        yield


@pytest.fixture
def lose_postgres(monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any) -> Iterator[Any]:
    """Call it, and PostgreSQL is where no socket is."""
    settings = connections["default"].settings_dict

    def lose() -> None:
        connections["default"].close()
        monkeypatch.setitem(settings, "HOST", "/nonexistent")
        monkeypatch.setitem(settings["OPTIONS"], "host", "/nonexistent")

    with django_db_blocker.unblock():
        yield lose
        monkeypatch.undo()
        connections["default"].close()
