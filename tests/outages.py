"""Ways to an engine that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from ratelimit import store


@pytest.fixture
def redis_gone(settings: Any) -> Iterator[None]:
    """Whatever asks Redis off the request path from here on finds nobody."""
    address = settings.REDIS_URL
    store.store()  # the request path keeps the way it has, in this test and in all that follow
    store.client.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    yield
    settings.REDIS_URL = address
    store.client.cache_clear()


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
