"""Drift: where the four places that hold usage disagree. Which difference is one, and how it is said. Pure rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from ratelimit.limits import RedisQuota


class Part(StrEnum):
    """What disagrees."""

    COUNTER = "counter"
    """PostgreSQL's counter of a window with the sum of the log."""
    FEATURE = "feature total"
    DAY = "daily total"
    COMMITTED = "Redis' counter"
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
class WindowComparison:
    """One account's tokens in one window as each place has them; `redis` is None where Redis need not know it.

    `stream` is what waits for the drain. Redis was read before PostgreSQL, so PostgreSQL's revision is at least the one
    that was published to Redis; it is 0 where none was.
    """

    account: int
    starts_at: datetime
    log: int
    counter: int
    revision: int
    features: int
    redis: RedisQuota | None = None
    stream: int = 0

    @property
    def unpublished(self) -> bool:
        """Redis has an older counter: no drift, since it gets this one with the account's next call or its drain."""
        held = self.redis
        return held is not None and (held.revision or 0) < self.revision and (held.committed or 0) != self.counter

    def drifts(self) -> Iterator[Drift]:
        if self.counter != self.log:
            yield self._drift(Part.COUNTER)
        held = self.redis
        if held is None:
            return
        revision, committed = held.revision or 0, held.committed or 0
        if revision > self.revision or (revision == self.revision and committed != self.counter):
            yield self._drift(Part.COMMITTED)
        if (held.pending or 0) != self.stream:
            yield self._drift(Part.PENDING)

    def _drift(self, part: Part) -> Drift:
        return Drift(part, self.account, self._says(), self.starts_at)

    def _says(self) -> str:
        in_postgres = f"log {self.log}, counter {self.counter} at revision {self.revision}, features {self.features}"
        if self.redis is None:
            return in_postgres
        committed, revision, pending = (number or 0 for number in self.redis)
        return f"{in_postgres}, Redis {committed} at revision {revision} and {pending} pending, stream {self.stream}"


def of_feature(account: int, starts_at: datetime, feature: str, log: int, total: int) -> Drift:
    return Drift(Part.FEATURE, account, f"log {log}, total {total}", starts_at, feature=feature)


def of_day(account: int, on: date, feature: str, log: tuple[int, int], total: tuple[int, int]) -> Drift:
    """`log` and `total` are tokens and calls."""
    says = f"log {log[0]} tokens in {log[1]} calls, total {total[0]} in {total[1]}"
    return Drift(Part.DAY, account, says, on=on, feature=feature)
