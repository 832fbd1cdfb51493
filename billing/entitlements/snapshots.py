"""What each worker remembers of accounts and their keys, until a fence says stale."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from django.conf import settings
from django.db import InterfaceError, OperationalError

from billing.bounded_cache import BoundedCache
from billing.catalogue.in_memory import Catalogue, catalogue, reload_catalogue
from billing.entitlements.facts import read_facts
from billing.postgres.guard import waiting_for_postgres
from billing.rules.entitlements.entitlement import Entitlement, Facts, entitle
from billing.rules.entitlements.plan_offers import PlanOffer, cheapest
from billing.rules.instants import from_ms
from billing.subscriptions import lapsed_top_ups
from ratelimit import process_state
from ratelimit.keys import AccountKeys
from ratelimit.limiter import Versions
from ratelimit.store import store


@dataclass(slots=True)
class Published:
    """To which server an account was published, 0 when it has to be published again, and how often it was.

    `read_at`: the server that answered before the facts were read; it is asked first whether it knows the account, as
    it does where another process has published it. 0: it does not.
    Shared by all its snapshots: threads whose clocks differ by a millisecond may have one each.
    """

    epoch: int = 0
    times: int = 0
    read_at: int = 0


@dataclass(slots=True)
class Snapshot:
    """What one account may do now, as this process knows it."""

    facts: Facts
    keys: AccountKeys
    catalogue: Catalogue
    entitlement: Entitlement
    versions: Versions
    from_ms: int
    until_ms: int
    published: Published = field(default_factory=Published)

    def at(self, now_ms: int) -> Snapshot:
        """This snapshot brought to an instant and to the process' catalogue.

        PostgreSQL is only asked where a top-up has lapsed meanwhile, of which nobody knows yet how much was spent.
        """
        present = catalogue()
        if self.from_ms <= now_ms < self.until_ms and self.catalogue is present:
            return self
        if lapsed_top_ups.are_uncounted(self.facts, present.plans, from_ms(now_ms)):
            return _count_lapsed(self, now_ms)
        return self._brought(self.facts, present, now_ms)

    def _brought(self, facts: Facts, present: Catalogue, now_ms: int) -> Snapshot:
        entitlement = _shared(entitle(facts, present.plans, from_ms(now_ms)))
        # Another object: a thread that decides by this one must not find old limits beside new versions.
        brought = replace(
            self,
            facts=facts,
            catalogue=present,
            entitlement=entitlement,
            versions=Versions(self.versions.account, present.version_text),
            from_ms=now_ms,
            until_ms=entitlement.valid_until_ms,
        )
        if _accounts.get(self.facts.account) is self:
            _accounts.remember(self.facts.account, brought)
        return brought

    def postponed(self, now_ms: int) -> Snapshot:
        """This snapshot where what was spent of its lapsed top-ups cannot be found out now."""
        return self._brought(lapsed_top_ups.postponed(self.facts, from_ms(now_ms)), catalogue(), now_ms)

    def suggest(self, passing: Iterable[str]) -> PlanOffer | None:
        return cheapest(self.catalogue.plans.values(), self.entitlement.plan, frozenset(passing))


_accounts: BoundedCache[int, Snapshot] = process_state.remember(
    __name__, "_accounts", lambda: BoundedCache(settings.SNAPSHOT_CACHE_SIZE)
)
_entitlements: BoundedCache[Entitlement, Entitlement] = process_state.remember(
    __name__, "_entitlements", lambda: BoundedCache(1_000)
)
_locks: tuple[threading.RLock, ...] = process_state.remember(
    __name__, "_locks", lambda: tuple(threading.RLock() for _ in range(256))
)


def knows_somebody() -> bool:
    """Whether this process can decide on any account's call without PostgreSQL."""
    return bool(_accounts)


def snapshot(account: int, now_ms: int) -> Snapshot:
    """The account's snapshot, from memory where it is warm. Raises django's OperationalError."""
    known = _accounts.get(account)
    if known is None:
        known = reload(account, 0, now_ms)
    elif not known.facts.plan and known.catalogue is not catalogue():  # a plan may have become the default
        known = reload(account, known.facts.version + 1, now_ms)
    return known.at(now_ms)


def reload(account: int, at_least: int, now_ms: int) -> Snapshot:
    """The account's snapshot, read anew unless this process knows that version of it or a later one."""
    with waiting_for_postgres(), _locks[account % len(_locks)]:
        known = _accounts.get(account)
        if known is not None and known.facts.version >= at_least:
            return known.at(now_ms)
        return _read(account, now_ms)


def _count_lapsed(known: Snapshot, now_ms: int) -> Snapshot:
    """The snapshot read anew, with what was spent of its lapsed top-ups; without PostgreSQL that is tried later."""
    account = known.facts.account
    try:
        with waiting_for_postgres(), _locks[account % len(_locks)]:
            newest = _accounts.get(account, known)
            if newest is not known:  # another thread was at it
                return newest.at(now_ms)
            try:
                return _read(account, now_ms)
            except (OperationalError, InterfaceError):
                return known.postponed(now_ms)
    except (OperationalError, InterfaceError):
        return known.postponed(now_ms)


def _read(account: int, now_ms: int) -> Snapshot:
    now, epoch = from_ms(now_ms), store().epoch
    facts = read_facts(account, now)
    present = catalogue()
    if not {facts.plan, facts.scheduled_plan} - {""} <= present.plans.keys():
        present = reload_catalogue(present.version + 1)
    if lapsed_top_ups.are_uncounted(facts, present.plans, now):
        facts = lapsed_top_ups.counted(facts, present.plans, now)
    entitlement = _shared(entitle(facts, present.plans, now))
    fresh = Snapshot(
        facts=facts,
        keys=AccountKeys(account),
        catalogue=present,
        entitlement=entitlement,
        versions=Versions(str(facts.version).encode(), present.version_text),
        from_ms=now_ms,
        until_ms=entitlement.valid_until_ms,
        published=Published(read_at=epoch),
    )
    return _accounts.remember(account, fresh)


def _shared(entitlement: Entitlement) -> Entitlement:
    """One object for all accounts that may do the same: a worker remembers many of them."""
    return _entitlements.get(entitlement) or _entitlements.remember(entitlement, entitlement)
