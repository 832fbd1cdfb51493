"""manage.py reconcile_usage: compare the log, its sums and Redis, and repair drift."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from redis.exceptions import ResponseError

from billing.management.progress import ProgressBar
from billing.users import by_name
from usage.reconciliation import reconcile
from usage.reconciliation.compare import LogShortened
from usage.reconciliation.drift import Drift
from usage.reconciliation.mend import DamagedKey
from usage.reconciliation.reconcile import Report

MOST_PRINTED = 100
ADVICE = "manage.py reconcile_usage --repair puts it right"


class Command(BaseCommand):
    help = (
        "Compare what the usage log, PostgreSQL's sums, and Redis say of each account and window, and print where they "
        "differ. Safe while serving. Ends with 1 when there is drift that was not repaired."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--repair", action="store_true", help="put it right: the sums from the log, then Redis from the sums"
        )
        parser.add_argument(
            "--all", action="store_true", help="every window that the log holds, not only the past two months"
        )
        parser.add_argument("--account", metavar="USER", help="only this account: a user's name or id")

    def handle(self, *args: Any, **options: Any) -> None:
        account = None if options["account"] is None else _account(options["account"])
        bar: ProgressBar | None = None
        printed = 0

        def progress(compared: int, total: int) -> None:
            nonlocal bar
            bar = bar or ProgressBar(self.stderr, total, shown=options["verbosity"] > 0)
            bar.advance(compared - bar.done)

        def found(drift: Drift | DamagedKey) -> None:
            nonlocal printed
            printed += 1
            if printed <= MOST_PRINTED:
                self.stdout.write(str(drift))

        began = time.perf_counter()
        try:
            report = reconcile.reconcile(
                timezone.now(),
                found,
                whole=options["all"],
                account=account,
                repairing=options["repair"],
                progress=progress,
            )
        except (LogShortened, ResponseError) as error:
            raise CommandError(str(error)) from error
        finally:
            if bar is not None:
                bar.end()
        if printed > MOST_PRINTED:
            self.stdout.write(f"... and {printed - MOST_PRINTED:,} more")
        self._sum_up(report, time.perf_counter() - began)
        if report.damaged and not options["repair"]:
            raise CommandError(f"{report.damaged:,} keys of Redis are damaged; {ADVICE}")

    def _sum_up(self, report: Report, seconds: float) -> None:
        self.stdout.write(f"{report}, in {seconds:.1f} s")
        if report.unpublished:
            self.stdout.write(
                f"{report.unpublished:,} windows have a newer counter than Redis, which learns it with the account's "
                "next call or drain: no drift"
            )
        if report.left_out:
            self.stdout.write(f"{report.left_out:,} windows were left out: part of their log has been retired")
        if report.set_aside:
            self.stdout.write(
                f"{report.set_aside:,} entries are set aside: see the admin, then manage.py drain_usage "
                "--retry-set-aside"
            )
        if left := report.drifting - report.repaired:
            advice = "try again" if report.repaired else ADVICE
            raise CommandError(f"{left:,} accounts drift; {advice}")


def _account(given: str) -> int:
    """By id, which may be that of a user who is gone, or by name."""
    if given.isascii() and given.isdecimal():
        return int(given)
    found = by_name(given)
    if found is None:
        raise CommandError(f"there is no user {given}")
    return int(found.pk)
