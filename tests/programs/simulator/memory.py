"""What each process remembers in module globals, kept apart for each simulated one; and a clock that the seed moves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any

from django.conf import settings

from billing.bounded_cache import BoundedCache
from billing.catalogue import published
from billing.catalogue.published import Catalogue
from billing.entitlements import api_keys, snapshots
from tests.programs.simulator.schedule import TurnLock, here
from usage.drain import drain
from usage.log import events
from usage.metering import admit, fallback, voiding
from usage.sync import outage


def _locks() -> tuple[TurnLock, ...]:
    return tuple(TurnLock() for _ in range(256))


GLOBALS: list[tuple[Any, str, Callable[[], Any]]] = [
    (snapshots, "_accounts", lambda: BoundedCache(settings.SNAPSHOT_CACHE_SIZE)),
    (snapshots, "_locks", _locks),
    (published, "_catalogue", lambda: None),
    (published, "_catalogue_lock", TurnLock),
    (published, "_catalogue_checked", lambda: 0.0),
    (api_keys, "_known", lambda: BoundedCache(settings.SNAPSHOT_CACHE_SIZE)),
    (api_keys, "_unknown", lambda: BoundedCache(settings.SNAPSHOT_CACHE_SIZE)),
    (admit, "_tellers", _locks),
    (outage, "_joined", lambda: None),
    (outage.breaker, "is_open", lambda: False),
    (outage.breaker, "_lock", TurnLock),
    (outage.breaker, "_attempting", TurnLock),
    (voiding, "_owed", deque),
    (events, "_random_parts", list),
    (fallback.minutes, "_stamps", dict),
    (fallback.minutes, "_lock", TurnLock),
]
"""Where, and what a process that has just started finds there."""
_CIRCUIT = next(i for i, (holder, name, _) in enumerate(GLOBALS) if (holder, name) == (outage.breaker, "is_open"))
_CATALOGUE = next(i for i, (holder, name, _) in enumerate(GLOBALS) if (holder, name) == (published, "_catalogue"))


class OwnGlobals:
    """One process' values of them."""

    def __init__(self) -> None:
        self.is_present = False
        self.forget()

    def forget(self) -> None:
        """As a process that has just started."""
        self._values = [make() for _, _, make in GLOBALS]
        if self.is_present:
            self.enter()

    def know_catalogue(self, catalogue: Catalogue) -> None:
        """As one that has served others before; it is long to read, and the same in every history."""
        self._values[_CATALOGUE] = catalogue

    def enter(self) -> None:
        self.is_present = True
        for (holder, name, _), value in zip(GLOBALS, self._values, strict=True):
            setattr(holder, name, value)

    def leave(self) -> None:
        self._values = [getattr(holder, name) for holder, name, _ in GLOBALS]
        self.is_present = False

    @property
    def circuit_is_open(self) -> bool:
        return bool(outage.breaker.is_open if self.is_present else self._values[_CIRCUIT])


class Clock:
    """Stands in for the module `time`. It moves between turns, and when somebody sleeps."""

    def __init__(self) -> None:
        self.now_ms = 0

    def time_ns(self) -> int:
        return self.now_ms * 1_000_000

    def time(self) -> float:
        return self.now_ms / 1000

    def monotonic(self) -> float:
        return self.now_ms / 1000

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.now_ms / 1000, UTC)

    def sleep(self, seconds: float) -> None:
        self.now_ms += max(int(seconds * 1000), 250)
        process = here()
        if process is not None:
            process.pause("sleeps", at_once=True)


class Chance:
    """Stands in for the module `os` where event ids are minted."""

    def __init__(self) -> None:
        self.random = Random(0)

    def urandom(self, size: int) -> bytes:
        return self.random.randbytes(size)


@contextmanager
def seeded(clock: Clock, chance: Chance, minted: Callable[[str], None]) -> Iterator[None]:
    """Production code takes the time and its random bytes from these; the globals are as before at the end."""
    mint = events.mint

    def mint_and_tell(now_ms: int) -> str:
        event = mint(now_ms)
        minted(event)
        return event

    replaced: list[tuple[Any, str, Any]] = [
        (module, "time", clock) for module in (admit, voiding, drain, published, api_keys)
    ]
    replaced += [(events, "os", chance), (events, "mint", mint_and_tell), (outage.breaker, "_every_seconds", 0)]
    before = [(holder, name, getattr(holder, name)) for holder, name, _ in [*replaced, *GLOBALS]]
    for holder, name, stand_in in replaced:
        setattr(holder, name, stand_in)
    try:
        yield
    finally:
        for holder, name, value in before:
            setattr(holder, name, value)
