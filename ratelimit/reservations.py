"""The operations of a reservation in Redis: a heartbeat, and its one end. The call that opens it is `limiter.admit`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, TypeVar

from ratelimit import scripts
from ratelimit.keys import due_reservations, keys_of, shard_of
from ratelimit.limiter import VOID_MARKER_LIFE_MS, Opened
from ratelimit.limits import Limit
from ratelimit.scripts import KEPT_AFTER_WINDOW_MS, UNLIMITED
from ratelimit.servers.single import Command, Store
from ratelimit.servers.wire import Argument

RESTS_ON_NONE = "-"
S = TypeVar("S", bound=IntEnum)


class Prolonged(IntEnum):
    """How the prolong script answered; the numbers are the script's own (lua/scripts/prolong.lua)."""

    OK = 1
    GONE = 2
    FINISHED = 3
    EXPIRED = 4
    REFUSED = 5
    NO_PARENT = 6
    STALE = 7


class Finished(IntEnum):
    """How the finish script answered; the numbers are the script's own (lua/scripts/finish.lua)."""

    OK = 1
    GONE = 2
    FINISHED = 3
    EXPIRED = 4
    NOT_YET = 5
    CHILDREN = 6
    ELSEWHERE = 7
    MOVED_ON = 8
    STALE = 9


class State(NamedTuple):
    """What a reservation is after the script: `used` is of its quota, `lacking` what it could not get.

    `state`, `charged`, `cost` and `digest` are of its end, if it has come.
    """

    bound: int
    expires_at_ms: int
    used: int
    lacking: int = 0
    children: int = 0
    charged: int = 0
    cost: int = 0
    digest: bytes = b""
    state: bytes = b""


class Kept(NamedTuple):
    """What Redis keeps of a reservation.

    `audit` is the text of its charge; `progress`, in tokens, and `units` are its last heartbeat's, b"" without one.
    """

    audit: bytes
    bound: int
    expires_at_ms: int
    progress: bytes
    units: bytes
    state: bytes
    charged: int
    cost: int
    draws: bool


class Terms(NamedTuple):
    """By what a reservation is judged: its quota's maximum (None: none), at this version of the account's facts."""

    maximum: int | None
    version: bytes


class Texts(NamedTuple):
    """The text of an event, before and after its tokens, which the script knows."""

    before: bytes
    after: bytes


class EndText(NamedTuple):
    """The text of an adjustment: before its tokens, up to the bound that it ends, and the rest."""

    before: bytes
    up_to_bound: bytes
    rest: bytes


NO_TEXTS = Texts(b"", b"")


class Place(NamedTuple):
    """Where a reservation lies: its keys, the budgets that it draws on (budgets.given_back_to), and of a child its
    parent's. `maxima` are those of the budgets, None: there is none.
    """

    names: Opened
    stream: bytes
    quota: bytes
    quota_expires_at_ms: int
    marker: bytes
    fence: bytes
    budgets: tuple[bytes, bytes, bytes]
    maxima: Sequence[int | None]
    parent: bytes = b""


def opened(account: int, event: str, expires_at_ms: int) -> Opened:
    keys, due = keys_of(account), due_reservations(shard_of(account))
    return Opened(keys.reservation(event), due, f"{account}:{event}".encode(), expires_at_ms)


def place(
    account: int,
    event: str,
    quota: Limit,
    budgets: tuple[bytes, bytes, bytes],
    maxima: Sequence[int | None] = (None, None, None),
    parent: str = "",
) -> Place:
    """`quota` is the window that the reservation was charged to."""
    keys = keys_of(account)
    return Place(
        names=opened(account, event, 0),
        stream=keys.stream,
        quota=keys.quota(quota.starts_at_ms or 0),
        quota_expires_at_ms=quota.ends_at_ms + KEPT_AFTER_WINDOW_MS,
        marker=keys.void_marker(event),
        fence=keys.fence,
        budgets=budgets,
        maxima=maxima,
        parent=keys.reservation(parent) if parent else b"",
    )


def read(store: Store, account: int, event: str) -> Kept | None:
    """What Redis keeps of the reservation; None where it knows none."""
    name = keys_of(account).reservation(event)
    found = store.ask(name, b"HMGET", name, b"e", b"b", b"x", b"h", b"u", b"s", b"c", b"q", b"p")
    audit, bound, expires_at, progress, units, state, charged, cost, draws = found
    if audit is None or bound is None or expires_at is None:
        return None
    return Kept(
        audit=audit,
        bound=int(bound),
        expires_at_ms=int(expires_at),
        progress=progress or b"",
        units=units or b"",
        state=state or b"",
        charged=int(charged or 0),
        cost=int(cost or 0),
        draws=bool(draws),
    )


def prolong(
    store: Store,
    at: Place,
    *,
    tokens: int,
    units: bytes,
    expires_at_ms: int,
    terms: Terms,
    raised: Texts,
    parents: Texts = NO_TEXTS,
    begins: bool = False,
    now_ms: int | None = None,
) -> tuple[Prolonged, State]:
    """A heartbeat: `tokens` are what it has cost so far.

    With `begins` a child takes its bound from its parent's: no heartbeat.
    """
    names = [at.names.reservation, at.names.due, at.stream, at.quota, *at.budgets, at.fence]
    limit = UNLIMITED if terms.maximum is None else terms.maximum
    words: list[Argument] = [now_ms or 0, expires_at_ms, tokens, units, limit, at.quota_expires_at_ms]
    words += [at.names.member, *raised, *(b"" if most is None else most for most in at.maxima), terms.version]
    if at.parent:
        names.append(at.parent)
        words += [*parents, b"1" if begins else b""]
    return _answer(Prolonged, store.run(Command(scripts.PROLONG, names, words)))


def finish(
    store: Store,
    at: Place,
    *,
    state: str,
    cost: int,
    rests_on: str | bytes,
    terms: Terms,
    adjustment: EndText,
    digest: bytes = b"",
    parents: Texts = NO_TEXTS,
    now_ms: int | None = None,
) -> tuple[Finished, State]:
    """End it once; "expired" only when it is due by Redis' clock, anything else only before.

    `rests_on` is the `Kept.progress` that `cost` was found by, or RESTS_ON_NONE.
    """
    names = [at.names.reservation, at.names.due, at.stream, at.quota, at.marker, *at.budgets, at.fence]
    limit = UNLIMITED if terms.maximum is None else terms.maximum
    words: list[Argument] = [now_ms or 0, state, cost, rests_on, limit, at.quota_expires_at_ms, at.names.member]
    words += [*adjustment[:2], VOID_MARKER_LIFE_MS, digest, terms.version, adjustment.rest]
    if at.parent:
        names.append(at.parent)
        words += parents
    return _answer(Finished, store.run(Command(scripts.FINISH, names, words)))


def forget(store: Store, at: Place, *, state: str, charged: int, cost: int) -> None:
    """PostgreSQL knows its end: nothing is left to do for it here."""
    names = [at.names.reservation, at.names.due, at.budgets[2], *([at.parent] if at.parent else [])]
    store.run(Command(scripts.FORGET, names, [at.names.member, state, charged, cost]))


def drop(store: Store, account: int, event: str) -> None:
    """Redis holds it no longer: PostgreSQL does."""
    name = keys_of(account).reservation(event)
    store.ask(name, b"DEL", name)


def strike(store: Store, shard: int, account: int, event: str) -> None:
    """The shard is not asked about that one again."""
    name = due_reservations(shard)
    store.ask(name, b"ZREM", name, f"{account}:{event}".encode())


def due(store: Store, shard: int, now_ms: int | None, most: int) -> Iterator[tuple[int, str]]:
    """Account and id of reservations that have expired, the longest first. `now_ms` None: by Redis' clock."""
    name = due_reservations(shard)
    if now_ms is None:
        seconds, microseconds = store.ask(name, b"TIME")
        now_ms = int(seconds) * 1000 + int(microseconds) // 1000
    for member in store.ask(name, b"ZRANGEBYSCORE", name, b"-inf", str(now_ms), b"LIMIT", 0, most):
        account, _, event = member.decode().partition(":")
        yield int(account), event


def _answer(kind: type[S], reply: list[Any]) -> tuple[S, State]:
    status, *fields = reply
    return kind(status), State(*fields)
