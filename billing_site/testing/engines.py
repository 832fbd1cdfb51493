"""One PostgreSQL for a test run and one Valkey for each of its processes; gone when the run is, however it ends."""

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

from billing_site.local.engines import Postgres, Valkey
from billing_site.local.engines.places import sockets_root

MARK = "METERED_TEST_RUN"  # set by the first process of a run for the processes of pytest-xdist


def start() -> None:
    """Point DATABASE_URL and REDIS_URL at engines of this run, unless the caller of the run set them."""
    os.environ.setdefault("SECRET_KEY", "tests")
    home = Path(os.environ[MARK]) if MARK in os.environ else _new_home()
    first = os.environ.setdefault(MARK, str(home)) and not os.environ.get("PYTEST_XDIST_WORKER")
    if "DATABASE_URL" not in os.environ:
        _start_postgres(home)
    if "REDIS_URL" not in os.environ or (_ours("REDIS_URL", home) and not first):
        _start_valkey(home)


def _ours(variable: str, home: Path) -> bool:
    return str(home) in os.environ[variable]


def _new_home() -> Path:
    """A folder that this process holds locked; what runs that were killed left behind is removed first."""
    prefix = f"pbt-{os.geteuid()}-"
    for old in sockets_root().glob(f"{prefix}*"):
        with contextlib.suppress(FileNotFoundError):  # its own run was faster
            found = old.stat()
            settled = time.time() - found.st_mtime > 60  # a younger one may be about to be locked
            if found.st_uid == os.geteuid() and settled and _hold(old):
                shutil.rmtree(old, ignore_errors=True)
    home = Path(tempfile.mkdtemp(prefix=prefix, dir=sockets_root()))
    home.chmod(0o711)  # as root, PostgreSQL runs as somebody who has to pass
    _hold(home)
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    return home


def _hold(home: Path) -> bool:
    """Lock the folder for the rest of this process; False when another process holds it."""
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True


def _start_postgres(home: Path) -> None:
    server = Postgres(home / "postgres", home / "s" / "pg", durable=False)
    server.start()
    atexit.register(server.stop)
    os.environ["DATABASE_URL"] = server.url


def _start_valkey(home: Path) -> None:
    name = os.environ.get("PYTEST_XDIST_WORKER", "main")
    server = Valkey(home / f"valkey-{name}", home / "s" / f"{name}.sock", durable=False)
    server.start()
    atexit.register(server.stop)
    os.environ["REDIS_URL"] = server.url
