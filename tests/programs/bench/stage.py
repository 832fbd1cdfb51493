"""What a section runs on: private engines that nobody else uses, an empty migrated database, the default catalogue.

Redis listens on 127.0.0.1, as it does for most users, and writes no append-only file; PostgreSQL waits for no disk.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path


def say(text: str) -> None:
    """One line of progress; results go to the report."""
    print(f"  {text}", file=sys.stderr, flush=True)


def prepare(settings: str, *, pinned: bool = False) -> None:
    """Start the engines and Django in this process; everything ends with it, also on Ctrl-C and SIGTERM."""
    if pinned and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # the engines inherit it
    for name in ("DATABASE_URL", "REDIS_URL", "CACHE_URL", "BROKER_URL", "REDIS_CLUSTER", "METERED_TEST_RUN"):
        # A benchmark fills and flushes: it never touches a server it was not the one to start.
        os.environ.pop(name, None)
    os.environ["DJANGO_SETTINGS_MODULE"] = settings
    os.environ.setdefault("SECRET_KEY", "bench")
    _start_redis()
    from tests import engines

    engines.start()
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    call_command("seed_catalogue", verbosity=0)


def _start_redis() -> None:
    from billing_site.local.engines import Valkey
    from tests.ports import free_port

    home = Path(tempfile.mkdtemp(prefix="bench-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    server = Valkey(home / "valkey", port=free_port(), durable=False)
    server.start()
    atexit.register(server.stop)
    os.environ["REDIS_URL"] = server.url
