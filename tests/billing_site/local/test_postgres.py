"""The embedded PostgreSQL has started once it has recovered, however long that takes; its end leaves nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from billing_site.local.engines import EngineError, Postgres
from billing_site.local.engines import postgres as postgres_module
from billing_site.local.engines.locks import lock
from tests.billing_site.local.test_engines import gone
from tests.effort import long_only

ROWS = 20_000
A_LITTLE_SECONDS = 2.0  # of START_SECONDS, less than the recovery takes

SLOWLY = """
restore_command = 'sleep 3; false'
hot_standby = off
"""
"""PostgreSQL asks for archived parts of its write-ahead log, and waits, before it replays what it has itself."""


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def server(said: list[str]) -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="pbp-", dir="/tmp"))
    folder.chmod(0o755)
    server = Postgres(folder / "postgres", folder / "s" / "pg", say=said.append)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


def children(server: Postgres) -> dict[str, int]:
    """The server's processes by their names, `checkpointer` for one."""
    assert server.process
    argv = ["ps", "--ppid", str(server.process.pid), "-o", "pid=,args="]
    listing = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    named = (line.split(None, 1) for line in listing.splitlines())
    return {args.removeprefix("postgres: ").strip(): int(pid) for pid, args in named}


@pytest.fixture
def killed(server: Postgres) -> Postgres:
    """Killed with rows that stand in its write-ahead log only, and slow to recover."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 0 AS number")
        connection.execute("CHECKPOINT")
        connection.execute("INSERT INTO kept SELECT generate_series(1, %s)", [ROWS])
    assert server.process
    server.process.kill()
    server.process.wait()
    data = server.home / "data"
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write(SLOWLY)
    (data / "recovery.signal").touch()
    return server


@long_only(15, "a recovery that fails")
def test_it_has_started_when_it_has_recovered(
    killed: Postgres, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_module, "START_SECONDS", A_LITTLE_SECONDS)
    monkeypatch.setattr(postgres_module, "LONG_SECONDS", 0)
    killed.start()
    with psycopg.connect(killed.url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (ROWS + 1,)
    assert said == [f"PostgreSQL recovers what its tables lacked when it was killed ... (log: {killed.log})"]
    assert "redo done" in killed.log.read_text()


def test_a_recovery_that_fails_is_said_in_one_line(killed: Postgres) -> None:
    for segment in (killed.home / "data" / "pg_wal").glob("0*"):
        segment.unlink()
    with pytest.raises(EngineError, match=r"PostgreSQL did not start: .*checkpoint record") as refused:
        killed.start()
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells who holds a lock")
@pytest.mark.parametrize("ended", ["by us", "before"])
def test_its_end_leaves_none_of_its_processes(server: Postgres, ended: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Stopped, the one that writes the tables at the end hears nothing, as while it waits for a slow disk.
    monkeypatch.setattr(postgres_module, "END_STEPS", ((signal.SIGINT, 0.1), (signal.SIGQUIT, 0.1)))
    assert server.process
    checkpointer = children(server)["checkpointer"]
    os.kill(checkpointer, signal.SIGSTOP)
    if ended == "before":
        server.process.kill()
        server.process.wait()
    server.stop()
    os.close(lock(server.home / "lock", 0))
    gone(checkpointer)
    server.start()
    psycopg.connect(server.url).close()
