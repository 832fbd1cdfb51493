"""One call as it is decided on: what it is charged for, and what is asked of the limits."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from billing.bounded_cache import BoundedCache
from billing.entitlements.api_keys import Caller
from billing.entitlements.snapshots import Snapshot
from billing.rules.entitlement import Metered
from ratelimit import limiter
from ratelimit.headers import RateLimitHeaders
from ratelimit.keys import receipt_digest
from ratelimit.limits import Take
from usage.log import events
from usage.log.events import Event

KINDS_REMEMBERED = 5_000
"""They take some 1,600 bytes each."""


class Charge(NamedTuple):
    """What a call is to be charged for. Without a feature it counts against the minute only."""

    feature: Metered | None = None
    source: str = events.GATEWAY
    metadata: dict[str, Any] | None = None
    idempotency_key: str = ""
    fingerprint: bytes = b""
    invalid_key: str = ""
    """What is wrong with the request's Idempotency-Key: it is going to be refused, and only counts as a request."""


_headers_of = lru_cache(1_000)(RateLimitHeaders)  # most accounts have the limits of their plan


class Kind:
    """What all calls for one feature by one key have in common while a snapshot holds, made once for all of them.

    A call takes of the minute, where that is limited, and of the quota, which is last. A feature that the plan lacks
    takes nothing of any limit. Only a call that is `charged` has an event; those of a kind differ in id and instant.
    """

    __slots__ = ("asking", "charged", "entitled", "frame", "policies", "sample", "snapshot", "takes")

    def __init__(self, snapshot: Snapshot, feature: Metered | None, source: str, key_prefix: str) -> None:
        *minute, quota = snapshot.entitlement.limits
        self.snapshot = snapshot
        self.entitled = feature is None or snapshot.entitlement.includes(feature)
        self.charged = feature is not None and self.entitled
        cost = feature.tokens if feature is not None and self.entitled else 0
        self.takes = (*(Take(limit, int(self.entitled)) for limit in minute), Take(quota, cost))
        self.asking = limiter.AdmitCommand(snapshot.keys, snapshot.versions, self.takes)
        self.policies = _headers_of(snapshot.entitlement.limits)
        self.sample = Event(
            charge="",
            kind=events.CHARGE,
            account=snapshot.facts.account,
            window_start=(quota.starts_at_ms or 0) // 1000,
            window_end=quota.ends_at_ms // 1000,
            feature=feature.code if feature is not None else "",
            tokens=cost,
            at_ms=0,
            source=source,
            key_prefix=key_prefix,
        )
        self.frame = self.sample.frame()


_kinds: BoundedCache[tuple[int, str, str, str], Kind] = BoundedCache(KINDS_REMEMBERED)


class Call:
    """What is asked about one call. `id` is that of its event, minted before anybody decides."""

    def __init__(self, event_id: str, kind: Kind, charge: Charge, now_ms: int) -> None:
        self.id = event_id
        self.kind = kind
        self.charge = charge
        self.now_ms = now_ms
        self.receipt: limiter.Receipt | None = None
        self._digest = ""
        if kind.charged and charge.idempotency_key:
            self._digest = receipt_digest(charge.idempotency_key)
            self.receipt = limiter.Receipt(kind.snapshot.keys.receipt_of(self._digest), charge.fingerprint)

    @property
    def snapshot(self) -> Snapshot:
        return self.kind.snapshot

    @property
    def takes(self) -> tuple[Take, ...]:
        return self.kind.takes

    @property
    def cost(self) -> int:
        return self.kind.takes[-1].amount

    @cached_property
    def event(self) -> Event | None:
        """Made when somebody asks: of most calls nobody does."""
        if not self.kind.charged:
            return None
        return self.kind.sample._replace(
            charge=self.id,
            at_ms=self.now_ms,
            metadata=self.charge.metadata,
            receipt=self._digest,
            fingerprint=self.charge.fingerprint.decode() if self._digest else "",
        )

    def audit(self) -> bytes:
        """The text of its event, empty without one."""
        if self.charge.metadata is None and self.receipt is None:
            return events.framed(self.kind.frame, self.id, self.now_ms) if self.kind.charged else b""
        return self.event.encode() if self.event is not None else b""


def prepare(event_id: str, snapshot: Snapshot, caller: Caller, charge: Charge, now_ms: int) -> Call:
    """The call as the present facts make it."""
    feature, source, key_prefix = charge.feature, charge.source, caller.key_prefix
    name = (caller.account, feature.code if feature is not None else "", source, key_prefix)
    kind = _kinds.get(name)
    if kind is None or kind.snapshot is not snapshot:
        kind = _kinds.remember(name, Kind(snapshot, feature, source, key_prefix))
    return Call(event_id, kind, charge, now_ms)
