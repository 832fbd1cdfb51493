"""manage.py drain_usage: move audit events from Redis into the log; waits while an engine is away."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from billing.management.following import follow
from ratelimit.checks import report_engines
from ratelimit.servers.single import RedisUnreachable
from usage.drain import batch, drain
from usage.drain.batch import Drained
from usage.models import SetAsideEntry
from usage.reconciliation import set_aside
from usage.sync import outage

logger = logging.getLogger(__name__)
LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.2, 1.0
"""Between two looks at the streams: twice as long each time that nothing was there. Reports may lag two seconds."""
SUMMARY_SECONDS = 60.0


def collect_garbage_rarely() -> None:
    """For a process that only drains: a batch is tens of thousands of objects that live until it is done.

    Python would look through them again and again, for a third of the drain's time, and find no garbage.
    """
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)


class Summary:
    """One line about what was drained in each minute in which anything was; a minute without is silent."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.since = clock()
        self.done = Drained()
        self.passes = 0

    def add(self, done: Drained) -> None:
        self.done += done
        self.passes += bool(done.entries)
        seconds = self.clock() - self.since
        if seconds < SUMMARY_SECONDS:
            return
        if self.done.entries:
            told = self.done.entries, seconds, self.done.entries / seconds, self.passes, self.done.set_aside
            logger.info("%d events drained in %.0f s, %.1f a second, in %d passes, %d set aside", *told)
        self.since, self.done, self.passes = self.clock(), Drained(), 0


class Command(BaseCommand):
    help = "Move audit events from Redis into the usage log. Once, or with --follow until it is stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        instead = parser.add_mutually_exclusive_group()
        instead.add_argument("--follow", action="store_true", help="go on until SIGTERM or Ctrl-C")
        instead.add_argument(
            "--retry-set-aside",
            action="store_true",
            help="count the entries that were set aside and can be read by now, after an upgrade for example",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["follow"]:
            self._follow()
            return
        if options["retry_set_aside"]:
            self.stdout.write(str(set_aside.retry(SetAsideEntry.objects.all(), timezone.now())))
            return
        done = drain.drain()
        self.stdout.write(f"{done.entries} events drained, {done.set_aside} set aside")

    def _follow(self) -> None:
        collect_garbage_rarely()
        report_engines()
        logger.info("the drain follows %d streams", settings.RATELIMIT_SHARDS)
        summary, pause = Summary(), 0.0

        def step() -> float:
            nonlocal pause
            outage.end_if_abandoned(timezone.now())
            done = drain.drain()
            summary.add(done)
            pause = next_pause(pause, done.entries)
            return pause

        follow(step, "the drain", logger, (RedisUnreachable, OperationalError, InterfaceError))


def next_pause(pause: float, entries: int) -> float:
    """Seconds until the next look at the streams, after a `pause` and a look that found so many entries."""
    if entries >= batch.BATCH:
        return 0.0
    return LEAST_PAUSE_SECONDS if entries else min(max(2 * pause, LEAST_PAUSE_SECONDS), MOST_PAUSE_SECONDS)
