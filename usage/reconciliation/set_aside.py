"""Entries that were set aside, tried again: what can be read by now is counted, once, and leaves the table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from billing.fence import push
from billing.rules.instants import from_seconds, to_ms
from ratelimit import counters
from ratelimit.keys import shard_of, stream
from ratelimit.store import store
from usage.log import store as log_store
from usage.log.batch import decode
from usage.log.events import Event, MalformedEvent
from usage.log.months import partitions
from usage.models import SetAsideEntry
from usage.reconciliation import repair
from usage.sync.shard_locks import holding_off_drains


@dataclass(frozen=True, slots=True)
class Retried:
    """Entries that are in the log now, and those that stay set aside."""

    counted: int = 0
    left: int = 0

    def __str__(self) -> str:
        return f"{self.counted:,} entries counted, {self.left:,} cannot be read and stay set aside"


def retry(entries: QuerySet[SetAsideEntry], now: datetime) -> Retried:
    """Try these again. One that another retry takes at the same time is left to it. Raises RedisUnreachable."""
    counted = left = 0
    for pk in list(entries.order_by("pk").values_list("pk", flat=True)):
        entry = SetAsideEntry.objects.filter(pk=pk).first()
        if entry is None:
            continue
        try:
            counted += _count(entry, _readable(entry, now), now)
        except (MalformedEvent, partitions.MonthLeft) as error:
            # Why it stays may be another reason than why it came.
            SetAsideEntry.objects.filter(pk=pk).update(error=str(error)[:500])
            left += 1
    return Retried(counted, left)


def _readable(entry: SetAsideEntry, now: datetime) -> Event:
    """By the rules of the drain. Raises MalformedEvent."""
    event = decode(bytes(entry.payload))
    written_ms = int(entry.stream_id.partition("-")[0])
    if refusal := partitions.accepted_range([to_ms(now), written_ms]).refusal(event.charged_at_ms):
        raise MalformedEvent(refusal)
    return event


def _count(entry: SetAsideEntry, event: Event, now: datetime) -> bool:
    """Store the event and settle it in Redis, where its tokens are still pending; False when somebody else has."""
    shard = shard_of(event.account)
    with holding_off_drains([shard]):
        # Asked first, so that nothing is done when it is out of reach.
        counters.read_quotas(store(), stream(shard).encode(), [])
        with transaction.atomic():
            if SetAsideEntry.objects.select_for_update().filter(pk=entry.pk).first() is None:
                return False
            log_store.store([event])
            push.invalidate_counters({event.account})
            SetAsideEntry.objects.filter(pk=entry.pk).delete()
        repair.correct_windows(shard, [(event.account, from_seconds(event.window_start))], now)
        return True
