"""One account as these tests ask for it: its keys, published versions, and calls at instants of their choosing."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ratelimit import counters, limiter
from ratelimit.counters import Counter
from ratelimit.keys import AccountKeys, key_digest
from ratelimit.limiter import Keyed, StaleFacts, Versions, Voided
from ratelimit.limits import Decision, Limit, Standing, Take
from ratelimit.servers.single import Store

HOUR_MS = 3_600_000
MONTH_MS = 30 * 24 * HOUR_MS
NOW_MS = time.time_ns() // 1_000_000
WINDOW_STARTS_AT_MS = NOW_MS // HOUR_MS * HOUR_MS
IN_FLIGHT_MS = 60_000
_numbers = itertools.count(1)
_events = itertools.count(1)
FIRST = Versions(b"1", b"1")


def minute(maximum: int) -> Limit:
    return Limit("minute", maximum, 60_000)


def quota(maximum: int | None, starts_at_ms: int = WINDOW_STARTS_AT_MS) -> Limit:
    return Limit("quota", maximum, MONTH_MS, starts_at_ms)


class Wants(NamedTuple):
    """What a call wants of a limit: requests of a minute, tokens of a quota."""

    limit: Limit
    amount: int


@dataclass(frozen=True)
class Account:
    """Calls with defaults; `published` first, or every call meets the fence."""

    store: Store
    number: int = field(default_factory=lambda: next(_numbers))
    versions: Versions = FIRST

    @property
    def keys(self) -> AccountKeys:
        return AccountKeys(self.number)

    def at(self, account: int | bytes, catalogue: int | bytes = b"1") -> Account:
        """This account as a process knows it whose facts have these versions."""
        text = [str(v).encode() if isinstance(v, int) else v for v in (account, catalogue)]
        return replace(self, versions=Versions(*text))

    def published(self, *of_windows: Counter) -> Account:
        counters.publish(self.store, self.keys, self.versions, of_windows)
        return self

    def keyed(self, key: str, fingerprint: bytes = b"f" * 32, in_flight_ms: int = IN_FLIGHT_MS) -> Keyed:
        """A request under an Idempotency-Key."""
        return Keyed(self.keys.record(key_digest(key)), fingerprint, in_flight_ms)

    def ask(
        self, *wants: Wants, now_ms: int | None = NOW_MS, event: str = "", audit: bytes = b"audit", **more: Any
    ) -> Decision | StaleFacts:
        more.setdefault("charged_at_ms", NOW_MS if now_ms is None else now_ms)
        event = event or f"event-{next(_events)}"
        limits = [limit for limit, _ in wants]
        if limits[-1].starts_at_ms is None:
            limits.append(quota(None))
        take = Take(
            requests=sum(amount for limit, amount in wants if limit.starts_at_ms is None),
            tokens=sum(amount for limit, amount in wants if limit.starts_at_ms is not None),
        )
        asked = limiter.AdmitCommand(self.keys, self.versions, limits)
        return limiter.admit(self.store, asked, take, event=event, audit=audit, now_ms=now_ms, **more)

    def admit(self, *wants: Wants, **more: Any) -> Decision:
        answer = self.ask(*wants, **more)
        assert isinstance(answer, Decision), answer
        return answer

    def void(self, charged: Wants, event: str, keyed: Keyed | None = None) -> tuple[Voided, Standing]:
        record = keyed.record if keyed else b""
        return limiter.void(
            self.store, self.keys, charged.limit, charged.amount, event=event, audit=b"void", record=record
        )

    def used(self, limit: Limit) -> int:
        return self.admit(Wants(limit, 0), audit=b"").standings[0].used

    def counter(self, committed: int, revision: int, limit: Limit | None = None) -> Counter:
        """PostgreSQL's counter of a window, by default of this month's."""
        limit = limit or quota(None)
        assert limit.starts_at_ms is not None
        return Counter(self.keys.quota(limit.starts_at_ms), committed, revision, limit.ends_at_ms)

    def all_keys(self, limits: Sequence[Limit] = (quota(None),), keyed: Iterable[Keyed] = ()) -> list[bytes]:
        """Every key that a call with these limits and Idempotency-Keys touches."""
        names = [self.keys.fence, self.keys.catalogue_fence, self.keys.stream, self.keys.ring, self.keys.ring_body]
        names += [self.keys.quota(limit.starts_at_ms) for limit in limits if limit.starts_at_ms is not None]
        return names + [one.record for one in keyed]
