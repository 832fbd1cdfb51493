"""What ends a reservation, as values: what was reported, what follows from it, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from usage.log.reservation_facts import EXPIRED, RELEASED, SETTLED, End, number
from usage.metering.reservations.held import Heartbeat, Held

COMPLETE, ABORTED, FAILED = "complete", "aborted", "failed"
OUTCOMES = (COMPLETE, ABORTED, FAILED)


class Report(NamedTuple):
    """What the caller says of the work. `used` are units, {"tokens": n}, or None: nobody has reported any."""

    used: Mapping[str, Any] | None
    outcome: str = COMPLETE
    estimated: bool = False

    def check(self) -> None:
        """Raises ValueError for what no row takes: the HTTP API has refused it before."""
        if self.outcome not in (*OUTCOMES, RELEASED):
            raise ValueError(f"the outcome {self.outcome!r} is none of {', '.join(OUTCOMES)}")
        if self.used is not None and "tokens" in self.used:
            number(self.used["tokens"])

    def digest(self) -> bytes:
        """Tells reports apart: the same one again is answered as before."""
        used = None if self.used is None else sorted(self.used.items())
        return f"{self.outcome} {self.estimated} {used}".encode()


EndOf = Callable[[Heartbeat], End]
"""How it ends, by its last heartbeat."""


def settled(held: Held, report: Report) -> EndOf:
    """By what was reported, else by the last heartbeat, else for nothing. Raises WrongUnits, ReservationRefused."""
    if report.used is None:
        return lambda last: End(SETTLED, last.tokens, last.used, report.outcome, last.used is not None)
    end = End(SETTLED, held.cost_of(report.used), report.used, report.outcome, report.estimated)
    return lambda _: end


def released(_: Heartbeat) -> End:
    """Nothing was done."""
    return End(RELEASED, 0, None, "", estimated=False)


def expired(heartbeat: Heartbeat) -> End:
    return End(EXPIRED, heartbeat.tokens, heartbeat.used, "", estimated=heartbeat.used is not None)


class Settlement(NamedTuple):
    """What came of a reservation, in tokens. `used` is what its window's quota has used after it."""

    state: str
    charged: int
    released: int
    uncollected: int
    used: int
    remaining: int | None = None
    """Of its window's quota; None: unlimited."""


def settlement(state: str, bound: int, charged: int, cost: int, used: int, maximum: int | None) -> Settlement:
    """`bound` is what it held."""
    remaining = None if maximum is None else max(maximum - used, 0)
    return Settlement(state, charged, max(bound - charged, 0), max(cost - charged, 0), used, remaining)
