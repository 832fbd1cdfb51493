"""What each process remembers in module globals, kept apart for each simulated one; and a clock that the seed moves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from typing import Any

from billing.catalogue import in_memory
from billing.catalogue.in_memory import Catalogue
from billing.entitlements import callers
from billing.rules import ids
from ratelimit import process_state
from ratelimit.servers.single import Store
from tests.programs.simulator.schedule import TurnLock, here
from usage.drain import drain
from usage.log import events
from usage.log.idempotency import key_records
from usage.metering import admit, unsettled, voiding
from usage.metering.reservations import without_redis
from usage.models import IdempotencyRecord
from usage.sync import outage

_LOCK = type(threading.Lock())


def _in_turns(make: Callable[[], Any]) -> Callable[[], Any]:
    """The same, with locks that give the turn back."""

    def made() -> Any:
        value = make()
        if isinstance(value, tuple):
            return tuple(TurnLock() for _ in value)
        return TurnLock() if isinstance(value, _LOCK) else value

    return made


def remembered() -> list[tuple[Any, str, Callable[[], Any]]]:
    """Where, and what a process that has just started finds there; a way to Redis is each process' own anyway."""
    everything = process_state.remembered()
    return [(holder, name, _in_turns(make)) for holder, name, make in everything if not isinstance(holder, Store)]


class OwnGlobals:
    """One process' values of what all of them remember."""

    def __init__(self, places: list[tuple[Any, str, Callable[[], Any]]]) -> None:
        self._places = places
        self._at = {(id(holder), name): at for at, (holder, name, _) in enumerate(places)}
        self.is_present = False
        self.forget()

    def forget(self) -> None:
        """As a process that has just started."""
        self._values = [make() for _, _, make in self._places]
        if self.is_present:
            self.enter()

    def know_catalogue(self, catalogue: Catalogue) -> None:
        """As one that has served others before; it is long to read, and the same in every history."""
        self._values[self._at[id(in_memory), "_catalogue"]] = catalogue

    def enter(self) -> None:
        self.is_present = True
        for (holder, name, _), value in zip(self._places, self._values, strict=True):
            setattr(holder, name, value)

    def leave(self) -> None:
        self._values = [getattr(holder, name) for holder, name, _ in self._places]
        self.is_present = False

    @property
    def circuit_is_open(self) -> bool:
        return bool(
            outage.breaker.is_open if self.is_present else self._values[self._at[id(outage.breaker), "is_open"]]
        )


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
def seeded(
    clock: Clock,
    chance: Chance,
    minted: Callable[[str], None],
    unsettles: Callable[[str], None],
    moves: Callable[[Sequence[events.Event]], None],
    reruns: Callable[[str], None],
) -> Iterator[None]:
    """Production code takes the time and its random bytes from these; the globals are as before at the end."""
    mint, settle_later, record = ids.mint, unsettled.settle_later, without_redis.record_without_redis
    rerun = key_records.rerun

    def mint_and_tell(now_ms: int) -> str:
        event = mint(now_ms)
        minted(event)
        return event

    def settle_later_and_tell(event: events.Event, work: Callable[[], object]) -> None:
        unsettles(event.charge)
        settle_later(event, work)

    def record_and_tell(recorded: Sequence[events.Event]) -> None:
        record(recorded)
        moves(recorded)

    def rerun_and_tell(of_key: IdempotencyRecord, now: datetime) -> None:
        rerun(of_key, now)
        reruns(str(of_key.event_id))

    replaced: list[tuple[Any, str, Any]] = [
        (module, "time", clock) for module in (admit, voiding, drain, in_memory, callers)
    ]
    replaced += [(ids, "os", chance), (ids, "mint", mint_and_tell), (outage.breaker, "_every_seconds", 0)]
    replaced += [(unsettled, "settle_later", settle_later_and_tell)]
    replaced += [(without_redis, "record_without_redis", record_and_tell), (key_records, "rerun", rerun_and_tell)]
    before = [(holder, name, getattr(holder, name)) for holder, name, _ in [*replaced, *remembered()]]
    for holder, name, stand_in in replaced:
        setattr(holder, name, stand_in)
    try:
        yield
    finally:
        for holder, name, value in before:
            setattr(holder, name, value)
