"""The test provider as tests have it: `model_server`, started once a process, empty at the start of each test."""

from __future__ import annotations

import atexit
import json
import signal
import sys
import urllib.request
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from billing_site.local.engines.process import end, last_line, spawn, wait_until
from tests.ports import free_port
from tests.servers.openai.provider import KEY

CHECKOUT = Path(__file__).resolve().parents[3]
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
    port = free_port()
    log = Path(mkdtemp(prefix="model-server-")) / "log"
    child = spawn([sys.executable, "-m", "tests.servers.openai", str(port)], log=log, cwd=CHECKOUT)
    atexit.register(end, child, [(signal.SIGTERM, 3)])
    server = ModelServer(f"http://127.0.0.1:{port}")

    def answers() -> bool:
        assert child.poll() is None, last_line(log)
        try:
            server.forget()
        except OSError:
            return False
        return True

    wait_until(answers, STARTS_WITHIN_SECONDS, "the provider of models does not start")
    return server


@pytest.fixture
def model_server(settings: Any) -> Iterator[ModelServer]:
    """A provider that nobody has asked anything, which the site's agent asks."""
    server = started()
    server.forget()
    settings.AGENT_UPSTREAM_URL, settings.AGENT_UPSTREAM_KEY = server.url, KEY
    yield server
