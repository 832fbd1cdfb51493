"""Drift: where the four places that hold usage disagree. Which difference is one, and how it is told. Pure rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class Part(StrEnum):
    """What disagrees."""

    COUNTER = "counter"
    """PostgreSQL's counter of a window with the sum of the log."""
    FEATURE = "feature total"
    DAY = "daily total"
    LEDGER = "Redis' ledger"
    """Redis' copy of the counter with the counter, at one revision or a later one."""
    PENDING = "Redis' pending"
    """Charged in Redis and not drained, with what its stream holds."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One disagreement; `says` is what each place says. A daily total has a date, everything else a window."""

    part: Part
    account: int
    says: str
    starts_at: datetime | None = None
    on: date | None = None
    feature: str = ""

    def __str__(self) -> str:
        when = f"{self.on}" if self.starts_at is None else f"window from {self.starts_at:%Y-%m-%d %H:%M}"
        return ", ".join(filter(None, [f"account {self.account}", when, self.feature, f"{self.part}: {self.says}"]))


@dataclass(frozen=True, slots=True)
class RedisQuota:
    """One window in Redis: PostgreSQL's counter as last told (revision 0: never), what is pending, and the stream."""

    ledger: int
    revision: int
    pending: int
    stream: int


@dataclass(frozen=True, slots=True)
class WindowComparison:
    """One account's tokens in one window as each place has them; `redis` is None where Redis need not know it.

    Redis was looked at before PostgreSQL, so PostgreSQL's revision is at least the one that Redis was told.
    """

    account: int
    starts_at: datetime
    log: int
    counter: int
    revision: int
    features: int
    redis: RedisQuota | None = None

    @property
    def untold(self) -> bool:
        """Redis knows an older counter: no drift, since the account's next call or its drain tells it."""
        held = self.redis
        return held is not None and held.revision < self.revision and held.ledger != self.counter

    def drifts(self) -> Iterator[Drift]:
        if self.counter != self.log:
            yield self._drift(Part.COUNTER)
        held = self.redis
        if held is None:
            return
        ahead = held.revision > self.revision
        if ahead or (held.revision == self.revision and held.ledger != self.counter):
            yield self._drift(Part.LEDGER)
        if held.pending != held.stream:
            yield self._drift(Part.PENDING)

    def _drift(self, part: Part) -> Drift:
        return Drift(part, self.account, self._says(), self.starts_at)

    def _says(self) -> str:
        told = f"log {self.log}, counter {self.counter} at revision {self.revision}, features {self.features}"
        if self.redis is None:
            return told
        held = self.redis
        return (
            f"{told}, Redis {held.ledger} at revision {held.revision} and {held.pending} pending, stream {held.stream}"
        )


def of_feature(account: int, starts_at: datetime, feature: str, log: int, total: int) -> Drift:
    return Drift(Part.FEATURE, account, f"log {log}, total {total}", starts_at, feature=feature)


def of_day(account: int, on: date, feature: str, log: tuple[int, int], total: tuple[int, int]) -> Drift:
    """`log` and `total` are tokens and calls."""
    says = f"log {log[0]} tokens in {log[1]} calls, total {total[0]} in {total[1]}"
    return Drift(Part.DAY, account, says, on=on, feature=feature)
