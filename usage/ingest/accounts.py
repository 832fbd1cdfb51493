"""What is known of the accounts that a batch of events names: read at once, however many they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth import get_user_model

from billing.catalogue.published import catalogue, reload_catalogue
from billing.entitlements import snapshots
from billing.entitlements.many import facts_of
from billing.models import Erasure, Fence, WindowOverage
from billing.postgres.any_of import any_of
from billing.rules.entitlement import Entitlement, Facts, entitle
from billing.rules.instants import from_ms, from_seconds, to_ms
from billing.rules.periods import Period
from billing.subscriptions import lapsed_top_ups
from usage.ingest.windows import Windows
from usage.log.events import Event
from usage.models import WindowUsage

LONGEST_WINDOW = timedelta(days=31)


class Accounts:
    """Those of the accounts that exist, with their facts, at one instant. Whoever is erased is unknown."""

    def __init__(self, numbers: Collection[int], now: datetime) -> None:
        self._now = now
        existing = get_user_model().objects.filter(any_of("pk", numbers)).values_list("pk", flat=True)
        erased = Erasure.objects.filter(any_of("account", numbers)).values_list("account", flat=True)
        found = {*existing} - {*erased}
        # Before the facts: those that are newer than their version are only read once more.
        self._versions = dict(Fence.objects.filter(any_of("subject", found)).values_list("subject", "version"))
        self._facts = facts_of(found)
        for account in found - self._facts.keys():  # the first use opens a subscription
            self._facts[account] = snapshots.reload(account, self.version(account), to_ms(now)).facts
            self._versions[account] = self._facts[account].version
        self.catalogue = catalogue()
        plans = {plan for facts in self._facts.values() for plan in (facts.plan, facts.scheduled_plan) if plan}
        if not plans <= self.catalogue.plans.keys():
            self.catalogue = reload_catalogue(self.catalogue.version + 1)
        self._windows: dict[int, Windows] = {}
        self._before: dict[int, list[Period]] | None = None

    def __contains__(self, account: int) -> bool:
        return account in self._facts

    def version(self, account: int) -> int:
        """Of the fence, at which its facts were read."""
        return self._versions.get(account, 1)

    def window(self, account: int, at: datetime) -> Period:
        """The usage window that an instant of the past belongs to."""
        windows = self._windows_of(account)
        if not windows.is_told(at) and self._before is None:
            self._before = self._windows_before()
            self._windows.clear()
            windows = self._windows_of(account)
        return windows.at(at)

    def top_ups_counted_after(self, event: Event) -> Iterator[int]:
        """Rows of the account's top-ups of the event's window that lapsed later, where it is stored what was spent."""
        at = from_ms(event.charged_at_ms)
        window = Period(from_seconds(event.window_start), from_seconds(event.window_end))
        for top_up in self._facts[event.account].top_ups:
            lapsed_later = top_up.expires_at is not None and top_up.expires_at > at
            if lapsed_later and top_up.spent is not None and window.contains(top_up.starts_at):
                yield top_up.row

    def over_quota(self) -> list[int]:
        """Accounts that have used more of their present window than their quota, as PostgreSQL knows it; sorted.

        Not within a transaction.
        """
        may = {account: self._entitlement(facts) for account, facts in self._facts.items()}
        limited = {account: each for account, each in may.items() if each.quota is not None}
        starts = {each.window.start for each in limited.values()}
        rows = WindowUsage.objects.filter(any_of("account_id", limited), starts_at__in=starts)
        used = {(row.account_id, row.starts_at): row.tokens for row in rows}
        return sorted(
            account
            for account, each in limited.items()
            if used.get((account, each.window.start), 0) > (each.quota or 0)
        )

    def _entitlement(self, facts: Facts) -> Entitlement:
        plans, now = self.catalogue.plans, self._now
        if any(top_up.has_lapsed(now) for top_up in facts.top_ups):
            # What was spent of it may be counted anew, since an event was of before it lapsed.
            return snapshots.reload(facts.account, _version_now(facts.account), to_ms(now)).at(to_ms(now)).entitlement
        return entitle(lapsed_top_ups.postponed(facts, now), plans, now)

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


def _version_now(account: int) -> int:
    return Fence.objects.filter(subject=account).values_list("changed", flat=True).first() or 1
