"""One account as these tests ask for it: its keys, told versions, and calls at instants of their choosing."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ratelimit import limiter
from ratelimit.keys import AccountKeys
from ratelimit.limiter import Counter, Receipt, StaleFacts, Versions, Voided
from ratelimit.limits import Decision, Limit, Standing, Take
from ratelimit.store import Store

HOUR_MS = 3_600_000
MONTH_MS = 30 * 24 * HOUR_MS
NOW_MS = time.time_ns() // 1_000_000
WINDOW_STARTS_AT_MS = NOW_MS // HOUR_MS * HOUR_MS
_numbers = itertools.count(1)
_events = itertools.count(1)
FIRST = Versions(b"1", b"1")


def minute(maximum: int) -> Limit:
    return Limit("minute", maximum, 60_000)


def quota(maximum: int | None, starts_at_ms: int = WINDOW_STARTS_AT_MS) -> Limit:
    return Limit("quota", maximum, MONTH_MS, starts_at_ms)


@dataclass(frozen=True)
class Account:
    """Calls with defaults; `told` first, or every call meets the fence."""

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

    def told(self, *counters: Counter) -> Account:
        limiter.tell(self.store, self.keys, self.versions, counters)
        return self

    def ask(
        self, *takes: Take, now_ms: int | None = NOW_MS, event: str = "", audit: bytes = b"audit", **more: Any
    ) -> Decision | StaleFacts:
        more.setdefault("charged_at_ms", NOW_MS if now_ms is None else now_ms)
        event = event or f"event-{next(_events)}"
        if takes[-1].limit.starts_at_ms is None:
            takes = (*takes, Take(quota(None), 0))
        asking = limiter.AdmitCommand(self.keys, self.versions, takes)
        return limiter.admit(self.store, asking, event=event, audit=audit, now_ms=now_ms, **more)

    def admit(self, *takes: Take, **more: Any) -> Decision:
        answer = self.ask(*takes, **more)
        assert isinstance(answer, Decision), answer
        return answer

    def void(self, take: Take, event: str, receipt: Receipt | None = None) -> tuple[Voided, Standing]:
        return limiter.void(self.store, self.keys, take, event=event, audit=b"void", receipt=receipt)

    def used(self, limit: Limit) -> int:
        return self.admit(Take(limit, 0), audit=b"").standings[0].used

    def counter(self, ledger: int, revision: int, limit: Limit | None = None) -> Counter:
        """PostgreSQL's counter of a window, by default of this month's."""
        limit = limit or quota(None)
        assert limit.starts_at_ms is not None
        return Counter(self.keys.quota(limit.starts_at_ms), ledger, revision, limit.ends_at_ms)

    def all_keys(self, limits: Sequence[Limit] = (quota(None),), receipts: Iterable[Receipt] = ()) -> list[bytes]:
        """Every key that a call with these limits and receipts touches."""
        names = [self.keys.fence, self.keys.catalogue_fence, self.keys.stream, self.keys.ring, self.keys.ring_body]
        names += [self.keys.quota(limit.starts_at_ms) for limit in limits if limit.starts_at_ms is not None]
        return names + [receipt.key for receipt in receipts]
