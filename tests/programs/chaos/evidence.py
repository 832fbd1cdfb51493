"""What an experiment leaves behind to be judged: the log, the moments of loss, and what may be found."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tests.programs.chaos.site import Site

CLOCK_SECONDS = 0.05  # between the minting of an event's id and the client's own stamps
USUAL_LAG_SECONDS = 1.0  # of the drain, while all is well
SHOWN = 8  # pieces of evidence printed for one finding


class Row(NamedTuple):
    """One row of the audit log."""

    event: str
    account: int
    feature: str
    tokens: int
    kind: str
    window: int


@dataclass
class Loss:
    """A moment at which Redis was lost: what the log held just before, and when Redis was certainly lost."""

    logged: set[str]
    at: float = 0.0

    def undrained(self, event: str) -> bool:
        return minted(event) <= self.at + CLOCK_SECONDS and event not in self.logged

    def undrained_void(self, ended: float) -> bool:
        """Whether the void of a call that failed then may have been lost, although its charge was drained."""
        return -CLOCK_SECONDS <= self.at - ended < 2 * USUAL_LAG_SECONDS


@dataclass
class Verdict:
    """What one experiment came to. `findings` are violations, each with its evidence."""

    requests: int = 0
    outages: int = 0
    errors: int = 0
    unanswered: int = 0
    lost: int = 0
    duplicated: int = 0
    overshoot: int = 0
    p99_ms: float = 0.0
    recovery_seconds: float = 0.0
    findings: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.findings

    def find(self, what: str, evidence: Iterable[object] = ()) -> None:
        pieces = list(evidence)
        more = [f"... and {len(pieces) - SHOWN} more"] if len(pieces) > SHOWN else []
        self.findings.append("\n      ".join([what, *map(str, pieces[:SHOWN]), *more]))


@dataclass(frozen=True)
class Allowance:
    """What an experiment may cost beyond the laws' plain text; docs/reliability.md gives the reasons."""

    unavailable: bool = False
    """503 with Retry-After while the fault lasts."""
    slow: bool = False
    """Every web process is killed, so calls wait until a new one has started."""
    loses_undrained: bool = False
    """What Redis held undrained is gone: flushed, restarted empty or with old data."""
    overshoot_undrained: bool = False
    """PostgreSQL decides, or a rebuilt Redis, without what was undrained."""
    split: bool = False
    """PostgreSQL and Redis decide at the same time, and each learns with the drain what the other has charged."""
    minutes_anew: int = 0
    """How many times more than once a limit may be admitted within 60 s, for windows that are lost."""

    def after(self, outages: int) -> Allowance:
        """With PostgreSQL deciding meanwhile: then the minute is judged by each process, by its share of the limit."""
        if not outages:
            return self
        return replace(self, overshoot_undrained=True, minutes_anew=self.minutes_anew + 1)


def minted(event: str) -> float:
    """When the server minted the id, in Unix seconds."""
    return (uuid.UUID(event).int >> 80) / 1000


def outages_since(site: Site, began: float) -> list[float]:
    """When each outage of Redis began, in which PostgreSQL decided calls since then."""
    with site.sql() as connection:
        rows = connection.execute(
            "SELECT extract(epoch FROM began_at)::float FROM usage_redisoutage"
            " WHERE ended_at IS NULL OR ended_at >= to_timestamp(%s)",
            [began],
        )
        return [at for (at,) in rows]


def read_log(site: Site, accounts: Iterable[int]) -> list[Row]:
    with site.sql() as connection:
        rows = connection.execute(
            "SELECT event_id::text, account_id, feature, tokens, kind, extract(epoch FROM window_starts_at)::bigint"
            " FROM usage_usagelog WHERE account_id = ANY(%s)",
            [list(accounts)],
        )
        return [Row(*row) for row in rows]
