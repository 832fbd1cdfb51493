"""The embedded Valkey has started once its data is loaded, however long that takes."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from billing_site.local.engines import EngineError, Valkey
from billing_site.local.engines import valkey as valkey_module
from billing_site.local.engines.process import wait_until

KEYS = 5_000
A_LITTLE_SECONDS = 1.0  # of START_SECONDS, less than the loading takes


class LoadedSlowly(Valkey):
    """A server that takes half a millisecond for each key of its append-only file."""

    def _arguments(self) -> list[str]:
        slowly = ["--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"]
        return [*super()._arguments(), *slowly]


def is_rewriting(client: redis.Redis) -> bool:
    info: Any = client.info("persistence")
    return bool(info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"])


@pytest.fixture
def server() -> Iterator[LoadedSlowly]:
    """Killed with data in its append-only file."""
    folder = Path(tempfile.mkdtemp(prefix="pbv-", dir="/tmp"))
    server = LoadedSlowly(folder / "valkey", folder / "s" / "valkey.sock")
    server.start()
    with redis.Redis.from_url(server.url) as client, client.pipeline(transaction=False) as pipeline:
        for number in range(KEYS):
            pipeline.set(f"key-{number}", number)
        pipeline.execute()
        client.bgrewriteaof()
        wait_until(lambda: not is_rewriting(client), 15, "the file is not rewritten")
    server.kill()
    yield server
    server.stop()
    shutil.rmtree(folder)


def test_it_has_started_when_its_data_is_loaded(server: LoadedSlowly) -> None:
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.dbsize() == KEYS


def test_loading_takes_nothing_of_the_time_to_answer(server: LoadedSlowly, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(valkey_module, "START_SECONDS", A_LITTLE_SECONDS)
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.get(f"key-{KEYS - 1}") is not None


def test_a_file_that_cannot_be_loaded_is_said_in_one_line(server: LoadedSlowly) -> None:
    (file,) = (server.home / "appendonlydir").glob("*.base.rdb")
    file.write_bytes(b"nonsense")
    with pytest.raises(EngineError, match="Valkey did not start") as refused:
        server.start()
    assert "\n" not in str(refused.value)
