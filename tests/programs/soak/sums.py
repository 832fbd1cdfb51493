"""What the engines hold while the soak goes on, and whether everything adds up at its end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import cast

from django.db.models import Count, Q, Sum

from ratelimit.keys import AccountKeys
from ratelimit.store import client
from tests.programs.soak.client import Tally
from usage.drain import drain
from usage.models import DailyUsage, FeatureUsage, SetAsideEntry, UsageLog, WindowUsage

POLL_SECONDS = 0.05


class Watch:
    """Redis, from the side."""

    def backlog(self) -> int:
        return sum(drain.backlog().values())

    def redis_bytes(self) -> int:
        return int(cast(dict[str, int], client().info("memory"))["used_memory"])

    def until_drained(self, seconds: float) -> None:
        give_up_at = time.monotonic() + seconds
        while self.backlog():
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"{self.backlog()} entries were not drained in {seconds} s")
            time.sleep(POLL_SECONDS)


def problems(told: Tally) -> Iterator[str]:
    """What does not agree with what the clients were told."""
    kinds = Count("id", filter=Q(kind="charge")), Count("id", filter=Q(kind="void"))
    log = UsageLog.objects.aggregate(charges=kinds[0], voids=kinds[1], tokens=Sum("tokens"))
    if tuple(log.values()) != tuple(told):
        yield f"the log has {log}, the clients were told {told}"
    for model in (WindowUsage, FeatureUsage, DailyUsage):
        if (tokens := model.objects.aggregate(sum=Sum("tokens"))["sum"]) != told.tokens:
            yield f"{model.__name__} adds up to {tokens}, the clients were told {told.tokens}"
    if (calls := DailyUsage.objects.aggregate(sum=Sum("calls"))["sum"]) != told.charges - told.voids:
        yield f"the days count {calls} calls, the clients {told.charges - told.voids}"
    for row in WindowUsage.objects.all():
        held = client().hgetall(AccountKeys(row.account_id).quota(round(row.starts_at.timestamp() * 1000)))
        ledger, pending = (int(cast(dict[bytes, bytes], held).get(name, 0)) for name in (b"l", b"p"))
        if (ledger, pending) != (row.tokens, 0):
            yield f"Redis holds {held} of account {row.account_id}, PostgreSQL {row.tokens}"
    if (set_aside := SetAsideEntry.objects.count()) != 0:
        yield f"{set_aside} entries were set aside"
