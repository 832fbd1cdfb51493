"""Ways to an engine that lead nowhere."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from ratelimit import store
from ratelimit.servers import single

SOCKET_NAME = ".s.PGSQL.5432"


@contextmanager
def no_redis(settings: Any, instead: str = "redis://127.0.0.1:1/0") -> Iterator[None]:
    """Nobody reaches Redis in here, the request path included; what it holds is untouched."""
    address = settings.REDIS_URL
    settings.REDIS_URL = instead
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
    real = single.SingleServer.run

    def run(self: Any, *arguments: Any, **named: Any) -> Any:
        real(self, *arguments, **named)
        raise single.RedisUnreachable("the answer was lost")

    with monkeypatch.context() as deaf:
        deaf.setattr(single.SingleServer, "run", run)
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


class SilentEngine:
    """An engine behind a socket of its own, which `hang()` makes hold back everything; `resume()` lets it through."""

    def __init__(self, path: Path, behind: Path) -> None:
        self._behind = behind
        self._flows = threading.Event()
        self._flows.set()
        self._hangs_at: tuple[bytes, bool] | None = None
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(200)
        threading.Thread(target=self._accept, daemon=True).start()

    def hang(self) -> None:
        self._flows.clear()

    def hang_at(self, word: bytes, *, executed: bool) -> None:
        """Hang when a client says this; `executed`: the engine still hears it, and only its answer is held back."""
        self._hangs_at = word, executed

    def resume(self) -> None:
        self._hangs_at = None
        self._flows.set()

    def close(self) -> None:
        self.resume()
        self._listener.shutdown(socket.SHUT_RDWR)  # or the thread that accepts would wait for ever
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._behind))
                for pair in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, from_client: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                word, executed = self._hangs_at or (b"", False)
                if from_client and word and word in data:
                    self._flows.clear()
                    if executed:
                        target.sendall(data)
                        continue
                self._flows.wait()
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class SilentPostgres(SilentEngine):
    """The PostgreSQL that listens in the folder `behind`."""

    def __init__(self, folder: Path, behind: str) -> None:
        self.folder = folder
        super().__init__(folder / SOCKET_NAME, Path(behind) / SOCKET_NAME)


@pytest.fixture
def silent_postgres(monkeypatch: pytest.MonkeyPatch, settings: Any, transactional_db: None) -> Iterator[SilentPostgres]:
    """The run's PostgreSQL, which can be made to hang for this test alone; web workers' deadline holds."""
    way = connections["default"].settings_dict
    with tempfile.TemporaryDirectory(prefix="pbh-") as folder:
        postgres = SilentPostgres(Path(folder), way["HOST"] or way["OPTIONS"]["host"])
        connections["default"].close()
        with monkeypatch.context() as through:
            through.setitem(way, "HOST", folder)
            through.setitem(way["OPTIONS"], "host", folder)
            settings.DATABASE_HANGS_AFTER_MS = 1000
            settings.DATABASE_PLACES = 2
            try:
                yield postgres
            finally:
                postgres.close()
                connections["default"].close()
                settings.DATABASE_HANGS_AFTER_MS = 0
