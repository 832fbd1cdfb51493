"""What is known of the accounts that a batch of events names: read at once, however many they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from math import inf

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection

from billing.bounded_cache import BoundedCache
from billing.catalogue.in_memory import catalogue, reload_catalogue
from billing.entitlements import snapshots
from billing.entitlements.many import facts_of
from billing.models import Fence, WindowOverage
from billing.postgres.any_of import any_of
from billing.rules.entitlements.entitlement import Entitlement, Facts, entitle
from billing.rules.instants import from_ms, from_seconds, to_ms, to_seconds
from billing.rules.periods import Period
from billing.subscriptions import lapsed_top_ups
from ratelimit import process_state
from usage.ingest.windows import Windows
from usage.log.events import Event
from usage.log.sums import as_array
from usage.models import WindowUsage

LONGEST_WINDOW = timedelta(days=31)
EXISTING = """
SELECT owner.{pk}, coalesce(fence.version, 1), coalesce(fence.changed, 1)
FROM {table} owner LEFT JOIN billing_fence fence ON fence.subject = owner.{pk}
WHERE owner.{pk} = ANY (%s::bigint[])
    AND NOT EXISTS (SELECT 1 FROM billing_erasure erased WHERE erased.account_id = owner.{pk})
"""
Window = tuple[int, int]
"""From its start to its end, in Unix seconds."""
_known: BoundedCache[int, Facts] = process_state.remember(
    __name__, "_known", lambda: BoundedCache(settings.SNAPSHOT_CACHE_SIZE // 5)
)
"""Facts of accounts that were reported lately."""


class Accounts:
    """Those of the accounts that exist, with their facts, at one instant. Whoever is erased is unknown."""

    def __init__(self, numbers: Collection[int], now: datetime) -> None:
        self._now = now
        self._facts = _read(numbers, now)
        self.catalogue = catalogue()
        if not _plans(self._facts.values()) <= self.catalogue.plans.keys():
            self.catalogue = reload_catalogue(self.catalogue.version + 1)
        self._windows: dict[int, Windows] = {}
        self._may: dict[int, Entitlement] = {}
        self._present: dict[int, Window] = {}
        self._before: dict[int, list[Period]] | None = None

    def __contains__(self, account: int) -> bool:
        return account in self._facts

    def version(self, account: int) -> int:
        """Of the fence, at which its facts were read."""
        return self._facts[account].version

    def read_again(self, numbers: Collection[int]) -> bool:
        """Read the facts of some accounts anew; whether users and top-ups are what they were, and plans are known."""
        held = {account: self._facts[account] for account in numbers}
        present = facts_of(numbers)
        self._facts |= present
        for remembered in (self._windows, self._may, self._present):
            remembered.clear()
        if not _plans(present.values()) <= self.catalogue.plans.keys():
            return False
        return present.keys() == held.keys() and all(
            (facts.active, facts.top_ups) == (held[account].active, held[account].top_ups)
            for account, facts in present.items()
        )

    def window(self, account: int, at_ms: int) -> Window:
        """The usage window that an instant of the past belongs to."""
        if account not in self._present:
            self._present[account] = _in_seconds(self._entitlement(account).window)
        present = self._present[account]
        if present[0] <= at_ms // 1000 < present[1]:
            return present
        at, windows = from_ms(at_ms), self._windows_of(account)
        if not windows.is_told(at) and self._before is None:
            self._before = self._windows_before()
            self._windows.clear()
            windows = self._windows_of(account)
        return _in_seconds(windows.at(at))

    def top_ups_lapsing_after(self, event: Event) -> Iterator[int]:
        """Rows of the account's top-ups of the event's window that lapse later: it may have been spent of them."""
        if not self._facts[event.account].top_ups:
            return
        at = from_ms(event.charged_at_ms)
        window = Period(from_seconds(event.window_start), from_seconds(event.window_end))
        for top_up in self._facts[event.account].top_ups:
            if top_up.expires_at is not None and top_up.expires_at > at and window.contains(top_up.starts_at):
                yield top_up.row

    def over_quota(self) -> list[int]:
        """Accounts that have used more of their present window than their quota, as PostgreSQL knows it; sorted.

        Not within a transaction.
        """
        may = {account: self._entitlement(account) for account in self._facts}
        limited = {account: each for account, each in may.items() if each.quota is not None}
        starts = {each.window.start for each in limited.values()}
        rows = WindowUsage.objects.filter(any_of("account_id", limited), starts_at__in=starts)
        used = {(row.account_id, row.starts_at): row.tokens for row in rows}
        return sorted(
            account
            for account, each in limited.items()
            if (tokens := used.get((account, each.window.start), 0)) > (each.quota or 0)
            and tokens > self._quota_now(account)
        )

    def _entitlement(self, account: int) -> Entitlement:
        """In which a top-up that has lapsed counts as not spent where nobody has counted it."""
        if account not in self._may:
            facts = self._facts[account]
            if facts.top_ups:
                facts = lapsed_top_ups.postponed(facts, self._now)
            self._may[account] = entitle(facts, self.catalogue.plans, self._now)
        return self._may[account]

    def _quota_now(self, account: int) -> float:
        if not any(top_up.has_lapsed(self._now) for top_up in self._facts[account].top_ups):
            return self._entitlement(account).quota or 0
        # What was spent of it may have been counted anew by now, since an event was of before it lapsed.
        now_ms = to_ms(self._now)
        quota = snapshots.reload(account, _version_now(account), now_ms).at(now_ms).entitlement.quota
        return inf if quota is None else quota

    def _windows_of(self, account: int) -> Windows:
        if account not in self._windows:
            known = () if self._before is None else self._before.get(account, ())
            self._windows[account] = Windows(self._facts[account], self.catalogue.plans, self._now, known)
        return self._windows[account]

    def _windows_before(self) -> dict[int, list[Period]]:
        """The windows that late events of all these accounts may belong to: those that were used or billed."""
        since = self._now - timedelta(days=settings.LATE_EVENT_DAYS) - LONGEST_WINDOW
        found = defaultdict[int, list[Period]](list)
        used = WindowUsage.objects.filter(any_of("account_id", self._facts), starts_at__gt=since)
        billed = WindowOverage.objects.filter(any_of("account", self._facts), window_starts_at__gt=since, is_part=False)
        for account, starts_at, ends_at in [
            *used.values_list("account_id", "starts_at", "ends_at"),
            *billed.values_list("account", "window_starts_at", "until"),
        ]:
            found[account].append(Period(starts_at, ends_at))
        return found


def _read(numbers: Collection[int], now: datetime) -> dict[int, Facts]:
    """Their facts, from memory where it has no older ones. The first use of an account opens its subscription."""
    fences, found = _fences(numbers), dict[int, Facts]()
    for account, (_, changed) in fences.items():
        if (known := _known.get(account)) is not None and known.version >= changed:
            found[account] = known
    unknown = [account for account in fences if account not in found]
    versions = {account: fences[account][0] for account in unknown}
    for account, facts in (facts_of(unknown, versions) if unknown else {}).items():
        found[account] = _known.remember(account, facts)
    for account in set(unknown) - found.keys():
        found[account] = snapshots.reload(account, versions[account], to_ms(now)).facts
    return found


def _fences(numbers: Collection[int]) -> dict[int, tuple[int, int]]:
    """Of those accounts that exist: the version of the fence, and that of the last change of a fact.

    Before the facts: those that are newer than their version are only read once more.
    """
    users = get_user_model()._meta
    quoted = connection.ops.quote_name
    with connection.cursor() as cursor:
        cursor.execute(
            EXISTING.format(table=quoted(users.db_table), pk=quoted(str(users.pk.column))), [as_array(numbers)]
        )
        return {account: (version, changed) for account, version, changed in cursor.fetchall()}


def _in_seconds(window: Period) -> Window:
    return to_seconds(window.start), to_seconds(window.end)


def _plans(facts: Iterable[Facts]) -> set[str]:
    return {plan for each in facts for plan in (each.plan, each.scheduled_plan) if plan}


def _version_now(account: int) -> int:
    return Fence.objects.filter(subject=account).values_list("changed", flat=True).first() or 1
