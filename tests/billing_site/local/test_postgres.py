"""The embedded PostgreSQL leaves nothing running when it has ended."""

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

from billing_site.local.engines import Postgres
from billing_site.local.engines import postgres as postgres_module
from billing_site.local.engines.locks import lock
from tests.billing_site.local.test_engines import gone

@pytest.fixture
def server() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="pbp-", dir="/tmp"))
    folder.chmod(0o755)
    server = Postgres(folder / "postgres", folder / "s" / "pg")
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
