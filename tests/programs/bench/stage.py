"""What a section runs on: private engines that nobody else uses, an empty migrated database, the default catalogue.

Redis listens on 127.0.0.1, as it does for most users, and writes no append-only file; PostgreSQL waits for no disk.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit


def say(text: str) -> None:
    """One line of progress; results go to the report."""
    print(f"  {text}", file=sys.stderr, flush=True)


def prepare(settings: str, *, pinned: bool = False, away_us: int = 0) -> None:
    """Start the engines and Django in this process; everything ends with it, also on Ctrl-C and SIGTERM.

    `pinned`: all keep to one core. `away_us`: Redis answers so much later each way, and has another core.
    """
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if cores and (pinned or away_us):
        os.sched_setaffinity(0, {min(cores) if away_us else max(cores)})  # the engines inherit it
    for name in ("DATABASE_URL", "REDIS_URL", "CACHE_URL", "BROKER_URL", "REDIS_CLUSTER", "METERED_TEST_RUN"):
        # A benchmark fills and flushes: it never touches a server it was not the one to start.
        os.environ.pop(name, None)
    os.environ["DJANGO_SETTINGS_MODULE"] = settings
    os.environ.setdefault("SECRET_KEY", "bench")
    _start_redis(away_us)
    from tests import engines

    engines.start()
    if cores and away_us:
        os.sched_setaffinity(0, {max(cores)})
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    call_command("seed_catalogue", verbosity=0)


def _start_redis(away_us: int) -> None:
    from billing_site.local.engines import Valkey
    from billing_site.local.engines.process import wait_until
    from tests.ports import free_port

    home = Path(tempfile.mkdtemp(prefix="bench-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    server = Valkey(home / "valkey", port=free_port(), durable=False)
    server.start()
    atexit.register(server.stop)
    os.environ["REDIS_URL"] = server.url
    if away_us:
        port = free_port()
        argv = [
            sys.executable,
            "-m",
            "tests.programs.bench.distance",
            *map(str, (port, urlsplit(server.url).port, away_us)),
        ]
        between = subprocess.Popen(argv)
        atexit.register(between.kill)
        wait_until(lambda: _listens(port), 10, "the process before Redis does not listen")
        os.environ["REDIS_URL"] = f"redis://127.0.0.1:{port}/0"


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
