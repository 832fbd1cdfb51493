"""manage.py apply_downgrades: renew the subscriptions whose period has ended, as beat does every minute."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import ProgrammingError
from django.utils import timezone

from billing.management.arguments import parsed_time
from billing.management.progress import ProgressBar
from billing.models import Subscription
from billing.rules.money import in_currency
from billing.subscriptions.period_end import renewal
from billing.subscriptions.period_end.report import RenewalReport

FARTHEST_AHEAD = timedelta(days=366)
FAILURES_SHOWN = 20


class Command(BaseCommand):
    help = (
        "Close the billing periods that have ended: renew or end, apply scheduled changes, open the next period, issue "
        "its invoice. Several at once do no harm, and what one left unfinished the next one does."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and write nothing")
        parser.add_argument("--at", metavar="ISO", help="as if it were then (UTC unless it names a zone); default: now")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        at = now if options["at"] is None else parsed_time(options["at"])
        if at > now + FARTHEST_AHEAD:
            raise CommandError(f"--at {options['at']} is more than a year ahead; periods are not closed so early")
        if at > now and not options["dry_run"]:
            self.stderr.write(f"--at {options['at']} lies ahead: periods are closed before they end")
        try:
            bar = ProgressBar(self.stderr, Subscription.objects.due(at).count(), shown=options["verbosity"] > 0)
        except ProgrammingError as error:
            raise CommandError("the tables are missing; run manage.py migrate first") from error
        failed = self._dry_run(at, bar) if options["dry_run"] else self._renew(at, bar)
        if failed:
            raise CommandError(_failures(failed))

    def _renew(self, at: datetime, bar: ProgressBar) -> dict[int, str]:
        began = time.perf_counter()
        try:
            done = renewal.renew_due(at, bar.advance)
        finally:
            bar.end()
        self.stdout.write(
            f"{done.renewed:,} subscriptions renewed ({done.changed:,} with a change of plan), "
            f"{done.periods:,} periods opened, {done.invoices:,} invoices issued, "
            f"{len(done.parked):,} parked for staff, {len(done.failed):,} failed{_ended(done, 'ended')}"
        )
        seconds = time.perf_counter() - began
        if done.renewed and seconds:
            self.stdout.write(f"in {seconds:,.1f} s, {done.renewed / seconds:,.0f} subscriptions a second")
        return done.failed

    def _dry_run(self, at: datetime, bar: ProgressBar) -> dict[int, str]:
        try:
            foreseen = renewal.dry_run(at, bar.advance)
        finally:
            bar.end()
        amounts = [f"{in_currency(amount, code)} {code}" for code, amount in sorted(foreseen.amounts.items())]
        billed = f" of {', '.join(amounts)} before balances" if amounts else ""
        self.stdout.write(
            f"dry run, nothing was written: {foreseen.renewed:,} subscriptions would renew "
            f"({foreseen.changed:,} with a change of plan), {foreseen.periods:,} periods open, "
            f"{foreseen.invoices:,} invoices{billed}, "
            f"{len(foreseen.parked):,} would be parked for staff, {len(foreseen.failed):,} would fail"
            f"{_ended(foreseen, 'would end')}"
        )
        return foreseen.failed


def _ended(report: RenewalReport, verb: str) -> str:
    return f", {report.ended:,} {verb}" if report.ended else ""


def _failures(failed: Mapping[int, str]) -> str:
    lines = [f"subscription {pk}: {' '.join(reason.split())}" for pk, reason in list(failed.items())[:FAILURES_SHOWN]]
    more = len(failed) - len(lines)
    return "\n".join([f"{len(failed):,} subscriptions failed", *lines, *([f"and {more:,} more"] if more else [])])
