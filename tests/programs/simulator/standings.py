"""One call as its client sees it, and what an account's quota and usage are at an instant."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Holding:
    """One reservation as its caller sees it, whose opening is a call."""

    account: int
    seconds: int = 60
    bound: int = 0
    units: dict[str, int] = field(default_factory=dict)
    """What it is asked for in, if not in tokens."""
    parent: Holding | None = None
    id: str = ""
    said: set[int] = field(default_factory=set)
    """What its caller has said that it has cost so far, or in all."""
    progress: int | None = None
    """The last heartbeat that was answered."""
    told: list[tuple[str, int, int | None]] = field(default_factory=list)
    """Of its end, each time: state, tokens charged, and what it had cost, if that was told."""
    affordable: list[tuple[int, int]] = field(default_factory=list)
    """What a refused heartbeat asked for, and what it was told that it can have."""

    def __str__(self) -> str:
        parent = f" of {self.parent.id[-12:]}" if self.parent else ""
        return f"{self.id[-12:]}{parent} {self.bound} said {sorted(self.said)} at {self.progress} told {self.told}"


@dataclass
class Call:
    """One metered call as its client sees it."""

    account: int
    feature: str
    tokens: int
    key: str = ""
    fails: bool = False
    tracked: bool = False
    keeps_answer: bool = False
    """Whether its answer is such that it can be kept, under a key."""
    minted: list[str] = field(default_factory=list)
    quota_then: int = 0
    """Which of the account's quotas was in force when the call was made."""
    answer: str = "unknown"
    """served, failed, refused; unavailable when it was 503, and unknown when the client got none."""
    event: str = ""
    """What the answer names; a replay names its first run's."""
    replayed: bool = False
    void: str = ""
    """asked, done, not found."""
    holding: Holding | None = None
    """The reservation that it opens."""

    def __str__(self) -> str:
        key = f" key={self.key}" if self.key else ""
        return f"{self.answer} {self.feature} of {self.account}{key} {self.event[-12:]} {self.void}"


@dataclass
class Quota:
    """An account's quota: its values in turn, each with the fence's version it came with."""

    held: list[tuple[int, int]]
    told_at: int = 0
    """Which of them Redis knows, by its version: it judges by none before that."""

    def largest(self, since: int) -> int:
        return max(maximum for _, maximum in self.held[since:])

    def told(self, version: int) -> None:
        known = [at for at, (held_version, _) in enumerate(self.held) if held_version <= version]
        self.told_at = max(self.told_at, *known)


@dataclass
class Standing:
    """What an account has really used of a window: by PostgreSQL's log, and on its way there."""

    logged: dict[str, int]
    undrained: dict[str, int]

    @property
    def used(self) -> int:
        return sum(self.logged.values()) + sum(self.undrained.values())


@dataclass
class Untold:
    """A charge made without Redis, until Redis knows the fence's version that came with it."""

    account: int
    window_start: int
    tokens: int
    version: int
    beside: set[str]
    """Processes that could still ask Redis then, or started later."""
