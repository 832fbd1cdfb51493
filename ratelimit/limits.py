"""What a limit is, and what judging a call against several of them yields. Pure values: no clock, no storage."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

LARGEST_NUMBER = 10**15 - 1
"""No quota, limit or cost may exceed this: the scripts' numbers are doubles, and sums must stay exact."""
LARGEST_VERSION = 10**14 - 1
"""No fence reaches this by edits. What stands above it was written by no script, and no version is raised above it."""

MINUTE_MS = 60_000
RUN_LIFE_MS = 7 * 24 * 3600 * 1000
"""How long a run of an agent is known after its last call."""


class Limit(NamedTuple):
    """At most `maximum` in a window. One value serves requests per minute and tokens per month alike.

    `starts_at_ms` None means a sliding window of `window_ms` that ends now; otherwise the fixed window
    `[starts_at_ms, starts_at_ms + window_ms)`. `maximum` None means unlimited: counted, never refused.
    """

    name: str
    maximum: int | None
    window_ms: int
    starts_at_ms: int | None = None

    @property
    def window_seconds(self) -> int:
        return self.window_ms // 1000

    @property
    def ends_at_ms(self) -> int:
        """End of a fixed window, in Unix milliseconds."""
        if self.starts_at_ms is None:
            raise ValueError(f"the window of {self.name} slides; it has no end")
        return self.starts_at_ms + self.window_ms


class Take(NamedTuple):
    """What a call takes of its limits: `requests` (0 or 1) of each sliding window, `tokens` of each fixed one.

    Zero reads the standing and is never refused.
    """

    requests: int = 0
    tokens: int = 0

    def of(self, limit: Limit) -> int:
        return self.requests if limit.starts_at_ms is None else self.tokens


class Standing(NamedTuple):
    """The state of a limit after a decision: `used` of it, and milliseconds until more is available.

    `wait_ms` 0: all of it is available; None: waiting cannot help (a maximum of 0).
    """

    limit: Limit
    used: int
    wait_ms: int | None

    @property
    def remaining(self) -> int | None:
        """What is left, never below 0; None when unlimited."""
        if self.limit.maximum is None:
            return None
        return max(self.limit.maximum - self.used, 0)

    def admits(self, amount: int) -> bool:
        """Whether a call that takes `amount` would pass now; nothing can always be taken."""
        return amount == 0 or self.limit.maximum is None or self.used + amount <= self.limit.maximum

    def wait_for_ms(self, amount: int) -> int | None:
        """Milliseconds until a call that takes `amount` would pass; None when it never will."""
        if self.admits(amount):
            return 0
        if self.limit.maximum is None or amount > self.limit.maximum:
            return None
        return self.wait_ms


class Outcome(IntEnum):
    """How the admit script answered; the script is built with these numbers.

    Five are about an Idempotency-Key that is known (lua/fragments/record.lua): its answer is given again; it
    belongs to another request; its request is in flight; it has run again too often; or it runs again, uncharged.
    """

    ADMITTED = 1
    REFUSED = 2
    STALE = 3
    SKEWED = 4
    REPLAYED = 5
    CONFLICT = 6
    IN_PROGRESS = 7
    EXHAUSTED = 8
    RERUN = 9
    UNCOUNTED = 10
    """A budget of the caller's key has to be counted anew first (lua/scripts/count_anew.lua); nothing was decided."""


class Part(IntEnum):
    """What a budget bounds; their order is that of the script's numbers (lua/fragments/budgets.lua)."""

    MINUTE = 0
    DAY = 1
    MONTH = 2
    RUN_TOKENS = 3
    RUN_CALLS = 4
    RUN_OPEN = 5
    REPEATS = 6


class BudgetStanding(NamedTuple):
    """Where a budget stands after a decision, and whether it has refused the call."""

    part: Part
    standing: Standing
    refuses: bool = False


class KeptAnswer(NamedTuple):
    """A successful answer that is kept under an Idempotency-Key. `head` is its status, a space, its content type."""

    head: bytes
    body: bytes


class Decision(NamedTuple):
    """One answer of the admit script: all limits were charged, or none.

    `event` is the id of the audit event the call is charged under; under a key that is known, the first run's, whose
    text is `audit`. `violated` are the limits that refused; `answer` is what is given again. `budgets` are those of the
    caller's key and of its run.
    """

    outcome: Outcome
    now_ms: int
    event: str
    standings: tuple[Standing, ...]
    violated: tuple[Limit, ...] = ()
    audit: bytes = b""
    answer: KeptAnswer | None = None
    budgets: tuple[BudgetStanding, ...] = ()


class RedisQuota(NamedTuple):
    """What Redis holds of one quota: PostgreSQL's counter as last published, its revision, and what is not drained yet.

    None where it holds nothing.
    """

    committed: int | None
    revision: int | None
    pending: int | None


def whole_seconds(wait_ms: int) -> int:
    """Rounded up, so that waiting this long is always enough."""
    return -(-wait_ms // 1000)
