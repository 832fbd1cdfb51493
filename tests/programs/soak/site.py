"""What the soak runs on: engines of its own as production has them, a real drain process, and clients."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import billing_site
from billing_site.local.engines import Postgres, Valkey
from billing_site.local.engines.places import sockets_root
from billing_site.local.supervisor import Command
from tests.programs.soak.client import Tally, serve

CHECKOUT = Path(billing_site.__file__).resolve().parent.parent
ACCOUNTS = 256


@contextmanager
def engines() -> Iterator[Path]:
    """Both run, with everything written to disk, and the settings name them; gone afterwards. Yields their folder."""
    home = Path(tempfile.mkdtemp(prefix=f"pbs-{os.geteuid()}-", dir=sockets_root()))
    home.chmod(0o711)  # as root, PostgreSQL runs as somebody who has to pass
    postgres = Postgres(home / "postgres", home / "s" / "pg")
    valkey = Valkey(home / "valkey", home / "s" / "valkey.sock")
    try:
        postgres.start()
        valkey.start()
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "billing_site.settings",
            "DATABASE_URL": postgres.url,
            "REDIS_URL": valkey.url,
            "SECRET_KEY": "soak",
            # The question is what becomes of a million charges, not how soon on a machine that is kept busy by them.
            "REDIS_TIMEOUT_MS": "10000",
        }
        yield home
    finally:
        valkey.stop()
        postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


def open_accounts() -> list[int]:
    """Customers whom nothing limits, on every shard."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.utils import timezone

    from billing.models import Plan
    from billing.subscriptions import opening

    call_command("migrate", verbosity=0)
    call_command("seed_catalogue", verbosity=0)
    plan, now = Plan.objects.get(code="enterprise"), timezone.now()
    users = [get_user_model().objects.create(username=f"customer {number}") for number in range(ACCOUNTS)]
    for user in users:
        opening.subscribe(user.pk, plan, now)
    return [int(user.pk) for user in users]


class Drain:
    """`manage.py drain_usage --follow` as `make run` starts it."""

    def __init__(self, home: Path) -> None:
        argv = [sys.executable, "manage.py", "drain_usage", "--follow"]
        self._command = Command("drain", argv, log=home / "drain.log", env=os.environ, cwd=CHECKOUT)
        self._command.start()

    @property
    def resident_bytes(self) -> int:
        process = self._command.process
        if process is None or process.poll() is not None:
            raise RuntimeError(f"the drain has ended: {self._command.log.read_text()[-2000:]}")
        status = Path(f"/proc/{process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def stop(self) -> None:
        self._command.stop()


class Clients:
    """Processes that charge at the same time, each for every account."""

    def __init__(self, accounts: list[int], count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._tallies = context.Queue()
        self._orders = [context.Queue() for _ in range(count)]
        self._processes = []
        for number, orders in enumerate(self._orders):
            turned = accounts[number * len(accounts) // count :] + accounts[: number * len(accounts) // count]
            process = context.Process(target=serve, args=(turned, orders, self._tallies), daemon=True)
            process.start()
            self._processes.append(process)

    def begin(self, charges: int) -> None:
        share, rest = divmod(charges, len(self._orders))
        for number, orders in enumerate(self._orders):
            if mine := share + (number < rest):
                orders.put(mine)
        self._awaited = sum(1 for number in range(len(self._orders)) if share or number < rest)

    def finished(self) -> Tally | None:
        """What they were told, once all have come to the end of their order."""
        if self._tallies.qsize() < self._awaited:
            if any(process.exitcode is not None for process in self._processes):
                raise RuntimeError("a client has ended; its error stands above")
            return None
        total = Tally()
        for _ in range(self._awaited):
            total += self._tallies.get()
        return total

    def stop(self) -> None:
        for orders in self._orders:
            orders.put(0)
        for process in self._processes:
            process.join(10)
            process.kill()
