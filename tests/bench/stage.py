"""What a section runs on: private engines that nobody else uses, an empty migrated database, the default catalogue."""

from __future__ import annotations

import os
import sys


def say(text: str) -> None:
    """One line of progress; results go to the report."""
    print(f"  {text}", file=sys.stderr, flush=True)


def prepare() -> None:
    """Start the engines and Django in this process; everything ends with it, also on Ctrl-C and SIGTERM."""
    for name in ("DATABASE_URL", "REDIS_URL", "CACHE_URL", "BROKER_URL", "REDIS_CLUSTER"):
        # A benchmark fills and flushes: it never touches a server it was not the one to start.
        os.environ.pop(name, None)
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.bench.settings"
    os.environ.setdefault("SECRET_KEY", "bench")
    from tests import engines

    engines.start()
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
    call_command("seed_catalogue", verbosity=0)
