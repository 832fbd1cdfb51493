"""Compares the four places that hold usage, account by account, while calls go on; and puts right what drifts."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time

from django.conf import settings
from django.utils import timezone

from billing.fence import push
from usage.log.months import partitions
from usage.models import Reconciliation, SetAsideEntry, WindowUsage
from usage.reconciliation import compare, mend, repair
from usage.reconciliation.drift import Drift, Part
from usage.reconciliation.mend import DamagedKey
from usage.sync.shard_locks import holding_off_drains

logger = logging.getLogger(__name__)
BACK = 2 * compare.LONGEST_WINDOW
"""The present window of every account and the one before it lie within this."""
MOST_LOGGED = 20
"""Drifts that the nightly run writes out one by one."""


@dataclass(slots=True)
class Report:
    """What a reconciliation has seen. `drifting` and `repaired` are accounts; the others count windows.

    `damaged` are keys of Redis that somebody has overwritten; a repair has mended them before it compared.
    """

    accounts: int = 0
    windows: int = 0
    parts: Counter[Part] = field(default_factory=Counter)
    drifting: int = 0
    repaired: int = 0
    unpublished: int = 0
    left_out: int = 0
    set_aside: int = 0
    damaged: int = 0

    def __str__(self) -> str:
        compared = f"{self.accounts:,} accounts and {self.windows:,} windows compared"
        if self.damaged:
            compared += f", {self.damaged:,} damaged keys of Redis"
        if not self.drifting:
            return f"{compared}, no drift"
        parts = ", ".join(f"{part} {count:,}" for part, count in sorted(self.parts.items()))
        repaired = f", {self.repaired:,} repaired" if self.repaired else ""
        return f"{compared}, {self.drifting:,} accounts drift ({parts}){repaired}"


class _Run:
    """One reconciliation as it goes on."""

    def __init__(self, now: datetime, since: datetime, found: Callable[[Drift], None], *, repairing: bool) -> None:
        self.report = Report()
        self._now = now
        self._since = since
        self._found = found
        self._repairing = repairing

    def compare(self, shard: int, accounts: Mapping[int, list[datetime]]) -> None:
        """Only while the shard's drain is held off."""
        windows, drifts = compare.read(shard, accounts, self._since, self._now)
        drifts += [drift for window in windows for drift in window.drifts()]
        unpublished = [(window.account, window.starts_at) for window in windows if window.unpublished]
        self.report.accounts += len(accounts)
        self.report.windows += len(windows)
        self.report.unpublished += len(unpublished)
        self.report.drifting += len({drift.account for drift in drifts})
        for drift in drifts:
            self.report.parts[drift.part] += 1
            self._found(drift)
        if self._repairing and (drifts or unpublished):
            known = {(w.account, w.starts_at): w.redis.revision or 0 for w in windows if w.redis}
            self._repair(shard, drifts, known, unpublished)

    def _repair(
        self, shard: int, drifts: list[Drift], known: Mapping[repair.Key, int], unpublished: list[repair.Key]
    ) -> None:
        accounts = {drift.account for drift in drifts}
        repair.rebuild(drifts, known, self._since)
        push.push(accounts)
        windows = {(drift.account, drift.starts_at) for drift in drifts if drift.starts_at}
        busy = repair.correct_windows(shard, sorted(key for key in {*windows, *unpublished} if key in known), self._now)
        self.report.repaired += len(accounts - {account for account, _ in busy})


def reconcile(
    now: datetime,
    found: Callable[[Drift | DamagedKey], None],
    *,
    whole: bool = False,
    account: int | None = None,
    repairing: bool = False,
    progress: Callable[[int, int], None] = lambda compared, total: None,
) -> Report:
    """Compare windows begun in the past two months, or with `whole` all that the log holds; `found` gets each drift,
    and each damaged key of Redis.

    `progress` gets accounts compared and accounts in all. Raises LogShortened, RedisUnreachable,
    django's OperationalError.
    """
    wanted = partitions.SINCE_EVER if whole else datetime.combine((now - BACK).date(), time(), UTC)
    since = max(wanted, partitions.oldest_kept())
    run = _Run(now, since, found, repairing=repairing)
    for key in mend.mend(now, account) if repairing else mend.find(account):
        run.report.damaged += 1
        found(key)
    total = compare.collect(since, account)
    for shard in range(settings.RATELIMIT_SHARDS):
        for accounts in compare.batches(shard):
            with holding_off_drains([shard]):
                run.compare(shard, accounts)
            progress(run.report.accounts, total)
    compare.forget_collected()
    windows = WindowUsage.objects.filter(starts_at__gte=wanted, starts_at__lt=since)
    run.report.left_out = (windows if account is None else windows.filter(account_id=account)).count()
    run.report.set_aside = SetAsideEntry.objects.count()
    if account is None:
        _record(now, run.report)
    return run.report


def nightly(now: datetime) -> Report:
    """Reconcile, repair nothing, and tell the operator's log what was found."""
    logged = itertools.count()

    def log(drift: Drift | DamagedKey) -> None:
        if next(logged) < MOST_LOGGED:
            logger.error("drift: %s", drift)

    report = reconcile(now, log)
    logger.log(logging.ERROR if report.drifting or report.damaged else logging.INFO, "reconciled: %s", report)
    return report


def _record(now: datetime, report: Report) -> None:
    Reconciliation.objects.create(
        began_at=now,
        finished_at=timezone.now(),
        accounts=report.accounts,
        windows=report.windows,
        drifting=report.drifting or report.damaged,  # either is to alarm somebody
        repaired=report.repaired,
    )
