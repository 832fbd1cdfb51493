"""Beat with a worker, the drain, and the outbox, by the traces that they leave."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from redis.exceptions import RedisError

from billing.models import OutboxCursor
from billing.outbox.retention import backlogs
from billing_site.operations import last_beat
from billing_site.operations.doctor.finding import Finding, ok, warn
from billing_site.staff_home import operations
from usage.drain import drain
from usage.models import SetAsideEntry

OUTBOX_IS_LATE: Final = timedelta(minutes=5)
START_BOTH: Final = "Start `celery --app billing_site beat` (one) and `… worker`."


def beat() -> Iterable[Finding]:
    """Each ten seconds beat sends, and a worker notes, that both live."""
    try:
        cache.client.get_client().ask_all_the_same("PING")  # type: ignore[attr-defined]
    except (RedisError, OSError):
        return [warn("beat", "not known without the cache", "Look again when it answers.")]
    seen = last_beat.read()
    if seen is None:
        return [warn("beat", "beat and a worker were never seen", START_BOTH)]
    ago = timezone.now() - seen
    if ago > operations.BEAT_IS_LATE:
        return [warn("beat", f"beat and a worker were last seen {_ago(ago)} ago", START_BOTH)]
    return [ok("beat", f"beat and a worker were seen {_ago(ago)} ago")]


def drained() -> Iterable[Finding]:
    waiting = sum(drain.backlog().values())
    lag = drain.lag_seconds(time.time_ns() // 1_000_000)
    said = f"{waiting} events wait, the oldest for {lag:.0f} s" if waiting else "no event waits"
    found = [ok("drain", said)]
    if lag > operations.DRAIN_IS_LATE_SECONDS:
        found = [warn("drain", said, "Start `manage.py drain_usage --follow`, or see its log.")]
    if aside := SetAsideEntry.objects.count():
        found.append(warn("drain", f"{aside} entries could not be read", "See them in the admin: Set-aside entries."))
    return found


def outbox() -> Iterable[Finding]:
    oldest = [backlog.oldest for backlog in backlogs(settings.OUTBOX_CONSUMERS) if backlog.oldest]
    late = timezone.now() - min(oldest) if oldest else timedelta(0)
    failing = OutboxCursor.objects.failing().count()
    if failing:
        do = "See the admin's home, and the worker's log."
        return [warn("outbox", f"messages of {failing} accounts are held up by one that fails", do)]
    if late > OUTBOX_IS_LATE:
        return [warn("outbox", f"the oldest message waits for {_ago(late)}", START_BOTH)]
    return [ok("outbox", f"the oldest message waits for {_ago(late)}" if oldest else "no message waits")]


def _ago(span: timedelta) -> str:
    seconds = max(round(span.total_seconds()), 0)
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
