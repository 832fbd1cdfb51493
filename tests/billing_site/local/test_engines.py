"""The embedded engines as real processes: data survives, nothing outlives its parent, a second starter is refused."""

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
import redis

import billing_site
from billing_site.local.engines import EngineError, Places, Postgres, Valkey
from billing_site.local.engines import postgres as postgres_module
from billing_site.local.engines.locks import lock
from billing_site.local.engines.process import OsUser, private_folder, spawn, unprivileged_user, wait_until
from tests.ports import free_port

ROOT = os.geteuid() == 0
CHECKOUT = Path(billing_site.__file__).resolve().parent.parent


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short folder that PostgreSQL's user can pass through when we are root."""
    made = Path(tempfile.mkdtemp(prefix="pbe-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def postgres(folder: Path) -> Iterator[Postgres]:
    server = Postgres(folder / "postgres", folder / "s" / "pg", durable=False)
    yield server
    server.stop()


@pytest.fixture
def valkey(folder: Path) -> Iterator[Valkey]:
    server = Valkey(folder / "valkey", folder / "s" / "valkey.sock", appendfsync="always")
    yield server
    server.stop()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(*pids: int) -> None:
    wait_until(lambda: not any(map(alive, pids)), 15, f"one of {pids} still runs")


def test_postgres_keeps_its_data_over_a_restart(postgres: Postgres) -> None:
    postgres.start()
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert postgres.process
    pid = postgres.process.pid
    postgres.stop()
    gone(pid)
    postgres.start()
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
        assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
        assert connection.execute("SHOW listen_addresses").fetchone() == ("",)


def test_valkey_keeps_its_data_when_it_is_killed(valkey: Valkey) -> None:
    valkey.start()
    redis.Redis.from_url(valkey.url).set("kept", 42)
    valkey.kill()
    valkey.start()
    client = redis.Redis.from_url(valkey.url)
    assert client.get("kept") == b"42"
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert client.config_get("appendonly") == {"appendonly": "yes"}
    assert client.config_get("port") == {"port": "0"}


def test_a_second_starter_is_refused_and_the_first_runs_on(valkey: Valkey) -> None:
    valkey.start()
    second = Valkey(valkey.home, valkey.socket)
    second.patience_seconds = 0
    with pytest.raises(EngineError, match="in use by another process"):
        second.start()
    assert redis.Redis.from_url(valkey.url).ping()


PARENT = """
import sys, time
from pathlib import Path
from billing_site.local.engines import Postgres, Valkey
folder = Path(sys.argv[1])
engines = [
    Postgres(folder / "postgres", folder / "s" / "pg", durable=False),
    Valkey(folder / "valkey", folder / "s" / "valkey.sock"),
]
for engine in engines:
    engine.start()
print(*[engine.process.pid for engine in engines], flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a process of its parent's death")
def test_a_killed_parent_leaves_nothing_running_and_nothing_in_the_way(
    folder: Path, postgres: Postgres, valkey: Valkey
) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(alive, pids))
    parent.kill()
    parent.communicate()
    # At once, while they are still ending: the next starter waits for the locks that they hold.
    postgres.start()
    valkey.start()
    gone(*pids)


def test_postgres_killed_like_by_a_power_cut_starts_again(postgres: Postgres) -> None:
    postgres.start()
    assert postgres.process
    os.kill(postgres.process.pid, signal.SIGKILL)
    postgres.process.wait()
    (postgres.home / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n")  # a recycled process id
    postgres.start()
    psycopg.connect(postgres.url).close()


def test_data_of_another_version_is_refused_in_one_line(postgres: Postgres) -> None:
    data = postgres.home / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("15\n")
    with pytest.raises(EngineError, match="was made by PostgreSQL 15, this is 18"):
        postgres.start()


def test_an_interrupted_first_start_is_begun_anew(postgres: Postgres) -> None:
    (postgres.home / "data.new").mkdir(parents=True)
    (postgres.home / "data.new" / "half").touch()
    postgres.start()
    assert not (postgres.home / "data" / "half").exists()


def test_an_engine_that_cannot_start_says_why_in_one_line(folder: Path, valkey: Valkey) -> None:
    valkey.start()
    first = Valkey(folder / "first", port=free_port())
    second = Valkey(folder / "second", port=first.port)
    first.start()
    try:
        with pytest.raises(EngineError, match=r"Valkey did not start: .*") as refusal:
            second.start()
        assert "\n" not in str(refusal.value)
        assert redis.Redis.from_url(first.url).ping()
    finally:
        first.stop()


def test_a_node_of_a_cluster_listens_on_its_port(folder: Path) -> None:
    node = Valkey(folder / "node", port=free_port(), cluster=True, durable=False)
    node.start()
    try:
        assert redis.Redis.from_url(node.url).cluster("INFO")["cluster_known_nodes"] == "1"
    finally:
        node.stop()


def test_a_valkey_needs_one_address() -> None:
    with pytest.raises(ValueError, match="a socket or a port"):
        Valkey(Path("home"))


def test_places_are_short_and_differ_by_checkout(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    places = Places(deep)
    assert places.sockets == Places(deep).sockets
    assert places.sockets != Places(tmp_path).sockets
    assert len(os.fsencode(places.postgres_sockets / ".s.PGSQL.5432.lock")) < 100
    assert places.database_url == Postgres(places.local / "postgres", places.postgres_sockets).url
    assert places.redis_url == Valkey(places.local / "valkey", places.valkey_socket).url


def test_a_planted_link_or_file_is_no_private_folder(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(EngineError, match="belongs to somebody else or is not a folder"):
            private_folder(tmp_path / name)


def test_a_folder_of_ours_that_others_can_write_to_is_closed(tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    opened.mkdir()
    opened.chmod(0o777)
    assert private_folder(opened).stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(not ROOT, reason="only root can make a folder that belongs to somebody else")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 12345, 12345)
    with pytest.raises(EngineError, match="belongs to somebody else"):
        private_folder(tmp_path / "theirs")


@pytest.mark.skipif(not ROOT, reason="only as root does PostgreSQL run as another user")
def test_as_root_a_closed_checkout_keeps_its_data_outside(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    server = Postgres(closed / "postgres", folder / "s" / "pg", durable=False)
    try:
        server.start()
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept ()")
        server.stop()
        outside = server.home.readlink()
        assert outside.stat().st_mode & 0o777 == 0o700
        assert closed.stat().st_mode & 0o777 == 0o700
        server.start()
        with psycopg.connect(server.url) as connection:
            connection.execute("SELECT * FROM kept")
        assert server.home.readlink() == outside
        server.stop()
        shutil.rmtree(outside)  # somebody cleans up behind the link
        server.start()
    finally:
        server.stop()
        shutil.rmtree(server.home.readlink())


@pytest.mark.skipif(not ROOT, reason="only as root does PostgreSQL run as another user")
def test_as_root_unreachable_binaries_are_copied_once_and_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = unprivileged_user()
    assert account
    package = postgres_module._binaries(None).parent.parent
    copied = postgres_module._copy(package, folder)
    initdb = copied / package.name / "pginstall18" / "bin" / "initdb"
    version = subprocess.run(
        [initdb, "--version"],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=True,
    )
    assert " 18." in version.stdout
    made = copied.stat().st_mtime_ns
    assert postgres_module._copy(package, folder) == copied
    assert copied.stat().st_mtime_ns == made
    monkeypatch.setattr(postgres_module, "_can", lambda *_: False)  # what a closed virtual environment answers
    monkeypatch.setattr(postgres_module, "_copy", lambda _: copied)
    assert postgres_module._binaries(OsUser("nobody", 65534, 65534)) == initdb.parent


@pytest.mark.parametrize(
    ("wheel", "advice"), [("no_such_wheel", "pip install -r requirements.txt, or set DATABASE_URL")]
)
def test_a_missing_wheel_is_said_with_what_to_do(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch, wheel: str, advice: str
) -> None:
    monkeypatch.setattr(postgres_module, "WHEEL", wheel)
    with pytest.raises(EngineError, match=advice):
        postgres.start()


def test_a_lock_is_held_by_the_child_after_its_parent_let_go(tmp_path: Path) -> None:
    held = lock(tmp_path / "lock", 0)
    child = spawn(["sleep", "60"], log=tmp_path / "log", descriptors=[held])
    os.close(held)
    with pytest.raises(EngineError, match="in use"):
        lock(tmp_path / "lock", 0)
    child.kill()
    child.wait()
    os.close(lock(tmp_path / "lock", 5))
