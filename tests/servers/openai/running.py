"""The test provider as tests have it: `model_server`, started once a process, empty at the start of each test."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from tests.servers.openai.provider import KEY
from tests.servers.running import run

STARTS_WITHIN_SECONDS = 20


class ModelServer:
    """Where it is, and what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/v1"
        self._root = url

    def asked(self) -> list[dict[str, Any]]:
        """Each request to it: `path`, `headers`, `body`."""
        asked: list[dict[str, Any]] = self._told()["asked"]
        return asked

    def left(self) -> int:
        """How many of its streams nobody took to their end."""
        return int(self._told()["left"])

    def forget(self) -> None:
        urllib.request.urlopen(urllib.request.Request(self._root, method="DELETE"), timeout=30).close()

    def _told(self) -> Any:
        with urllib.request.urlopen(self._root, timeout=30) as answer:
            return json.load(answer)


@cache
def started() -> ModelServer:
    return ModelServer(run("tests.servers.openai", lambda url: ModelServer(url).forget(), STARTS_WITHIN_SECONDS))


@pytest.fixture
def model_server(settings: Any) -> Iterator[ModelServer]:
    """A provider that nobody has asked anything, which the site's agent asks."""
    server = started()
    server.forget()
    settings.AGENT_UPSTREAM_URL, settings.AGENT_UPSTREAM_KEY = server.url, KEY
    yield server
