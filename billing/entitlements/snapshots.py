"""What each worker remembers: the catalogue, and the facts of accounts and keys, until a fence says stale."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Generic, TypeVar

from django.conf import settings

from billing.fence.models import CATALOGUE
from billing.models import Feature, Fence, LimitOverride, Plan, Route, TokenTopUp
from billing.models.catalogue import normalised_path
from billing.rules.entitlement import Entitlement, Facts, Metered, Override, PlanOffer, TopUp, cheapest, entitle
from billing.rules.plan_change import PlanTerms
from billing.subscriptions import changes
from ratelimit.keys import AccountKeys
from ratelimit.limiter import Versions

K = TypeVar("K")
V = TypeVar("V")


class Remembered(dict[K, V], Generic[K, V]):
    """A mapping that forgets its oldest entry when it is full. Reads take no lock; the size is a setting."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def remember(self, key: K, value: V) -> V:
        self[key] = value
        while len(self) > self.size:
            # Another thread may add to it at this moment; then the next turn finds the oldest.
            with suppress(RuntimeError, StopIteration):
                self.pop(next(iter(self)), None)
        return value


class Catalogue:
    """Plans, features and routes at one version."""

    def __init__(
        self,
        version: int,
        plans: dict[str, PlanOffer],
        features: dict[str, Metered],
        routes: dict[tuple[str, str], str],
    ) -> None:
        self.version = version
        self.plans = plans
        self.features = features
        self._routes = routes

    @cached_property
    def version_text(self) -> bytes:
        return str(self.version).encode()

    def feature_at(self, method: str, path: str) -> Metered | None:
        """What a request is metered as: the longest routed prefix of the normalised path; HEAD counts as GET."""
        method = "GET" if method == "HEAD" else method
        prefix = path
        while prefix:
            code = self._routes.get((prefix, method)) or self._routes.get((prefix, ""))
            if code is not None:
                return self.features[code]
            prefix = prefix.rpartition("/")[0]
        return None


@dataclass(slots=True)
class Told:
    """To which server an account was told, 0 when it has to be told again, and how often it was.

    Shared by all its snapshots: threads whose clocks differ by a millisecond may have one each.
    """

    epoch: int = 0
    times: int = 0


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
    told: Told = field(default_factory=Told)

    def at(self, now_ms: int) -> Snapshot:
        """This snapshot brought to an instant and to the process' catalogue, without asking PostgreSQL."""
        present = catalogue()
        if self.from_ms <= now_ms < self.until_ms and self.catalogue is present:
            return self
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        entitlement = _shared(entitle(self.facts, present.plans, now))
        # Another object: a thread that decides by this one must not find old limits beside new versions.
        brought = replace(
            self,
            catalogue=present,
            entitlement=entitlement,
            versions=Versions(self.versions.account, present.version_text),
            from_ms=now_ms,
            until_ms=_milliseconds(entitlement.valid_until),
        )
        if _accounts.get(self.facts.account) is self:
            _accounts.remember(self.facts.account, brought)
        return brought

    def suggest(self, passing: Iterable[str]) -> PlanOffer | None:
        return cheapest(self.catalogue.plans.values(), self.entitlement.plan, frozenset(passing))


_accounts: Remembered[int, Snapshot] = Remembered(settings.SNAPSHOT_CACHE_SIZE)
_entitlements: Remembered[Entitlement, Entitlement] = Remembered(1_000)
_locks = tuple(threading.Lock() for _ in range(256))
_catalogue: Catalogue | None = None
_catalogue_lock = threading.Lock()
_catalogue_checked = 0.0
RECENT_SECONDS = 1.0


def catalogue() -> Catalogue:
    return _catalogue or reload_catalogue(0)


def recent_catalogue() -> Catalogue:
    """The catalogue, compared with PostgreSQL's once a second: for requests that do not ask the fence."""
    global _catalogue_checked  # noqa: PLW0603
    present = catalogue()
    if time.monotonic() - _catalogue_checked > RECENT_SECONDS:
        _catalogue_checked = time.monotonic()
        return reload_catalogue(fence_version(CATALOGUE))
    return present


def reload_catalogue(at_least: int) -> Catalogue:
    """The catalogue, read anew unless this process knows that version or a later one."""
    global _catalogue  # noqa: PLW0603 - one catalogue a process is the point
    with _catalogue_lock:
        if _catalogue is None or _catalogue.version < at_least:
            _catalogue = _read_catalogue()
        return _catalogue


def snapshot(account: int, now_ms: int) -> Snapshot:
    """The account's snapshot, from memory where it is warm. Raises NoDefaultPlan, or django's OperationalError."""
    known = _accounts.get(account)
    if known is None:
        known = reload(account, 0, now_ms)
    return known.at(now_ms)


def reload(account: int, at_least: int, now_ms: int) -> Snapshot:
    """The account's snapshot, read anew unless this process knows that version of it or a later one."""
    with _locks[account % len(_locks)]:
        known = _accounts.get(account)
        if known is not None and known.facts.version >= at_least:
            return known.at(now_ms)
        facts = _read_facts(account, datetime.fromtimestamp(now_ms / 1000, UTC))
        present = catalogue()
        if facts.plan not in present.plans or (facts.scheduled_plan and facts.scheduled_plan not in present.plans):
            present = reload_catalogue(present.version + 1)
        entitlement = _shared(entitle(facts, present.plans, datetime.fromtimestamp(now_ms / 1000, UTC)))
        fresh = Snapshot(
            facts=facts,
            keys=AccountKeys(account),
            catalogue=present,
            entitlement=entitlement,
            versions=Versions(str(facts.version).encode(), present.version_text),
            from_ms=now_ms,
            until_ms=_milliseconds(entitlement.valid_until),
        )
        return _accounts.remember(account, fresh)


def forget_everything() -> None:
    """Start cold, as a new process does."""
    global _catalogue  # noqa: PLW0603
    _accounts.clear()
    _entitlements.clear()
    _catalogue = None


def _shared(entitlement: Entitlement) -> Entitlement:
    """One object for all accounts that may do the same: a worker remembers many of them."""
    return _entitlements.get(entitlement) or _entitlements.remember(entitlement, entitlement)


@lru_cache(1_000)  # most windows end at the same time
def _milliseconds(at: datetime) -> int:
    """Rounded down, so that nothing holds beyond its instant."""
    return math.floor(at.timestamp() * 1000)


def fence_version(subject: int) -> int:
    """Read before the facts it stands for: facts newer than their version are only reloaded once more."""
    return Fence.objects.filter(subject=subject).values_list("version", flat=True).first() or 1


def _read_facts(account: int, now: datetime) -> Facts:
    version = fence_version(account)
    subscription = changes.live_subscription(account, now)
    overrides = LimitOverride.objects.filter(account=account).order_by("-created_at", "-pk")
    return Facts(
        account=account,
        version=version,
        active=subscription.account.is_active,
        plan=sys.intern(subscription.plan.code),
        anchor=subscription.anchor,
        scheduled_plan=subscription.scheduled_plan.code if subscription.scheduled_plan else "",
        scheduled_at=subscription.scheduled_at,
        former_quota_window=subscription.former_quota_window,
        former_quota_window_until=subscription.former_quota_window_until,
        overrides=tuple(Override(o.limit, o.maximum, o.expires_at) for o in overrides),
        top_ups=tuple(TopUp(t.tokens, t.starts_at, t.expires_at) for t in TokenTopUp.objects.filter(account=account)),
    )


def _read_catalogue() -> Catalogue:
    version = fence_version(CATALOGUE)
    plans = {plan.code: offer(plan) for plan in Plan.objects.prefetch_related("capabilities")}
    features = {
        feature.code: Metered(feature.code, feature.tokens, feature.capability.code if feature.capability else "")
        for feature in Feature.objects.select_related("capability")
    }
    routes = {
        (normalised_path(route.path), route.method): route.feature.code
        for route in Route.objects.select_related("feature")
        if route.feature.code in features
    }
    return Catalogue(version, plans, features, routes)


def offer(plan: Plan) -> PlanOffer:
    """A plan's row as the rules know it."""
    return PlanOffer(
        terms=PlanTerms(plan.code, plan.rank, plan.price, plan.currency, plan.billed_every),
        name=plan.name,
        monthly_token_quota=plan.monthly_token_quota,
        requests_per_minute=plan.requests_per_minute,
        capabilities=frozenset(capability.code for capability in plan.capabilities.all()),
        quota_window=plan.quota_window,
        former_quota_window=plan.former_quota_window,
        quota_window_changed_at=plan.quota_window_changed_at,
        archived=plan.archived_at is not None,
    )
