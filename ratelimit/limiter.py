"""The operations of a call on its limits: admit it, void it, end a run under an Idempotency-Key."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple

from ratelimit import budgets, scripts
from ratelimit.keys import AccountKeys
from ratelimit.limits import LARGEST_VERSION, Decision, KeptAnswer, Limit, Outcome, Standing, Take
from ratelimit.scripts import KEPT_AFTER_WINDOW_MS, UNLIMITED
from ratelimit.servers.single import Command, Store
from ratelimit.servers.wire import Argument, pack

VOID_MARKER_LIFE_MS = 2 * 3600 * 1000
_ADMITTED = Outcome.ADMITTED  # looking it up in the enumeration takes longer than comparing it
_pack_row = Struct(">2Q").pack
pack_call = Struct(">4Q").pack
"""When it is charged, and now or 0, in ms; the requests and tokens it takes (lua/fragments/limits.lua reads them)."""


class Versions(NamedTuple):
    """What the fence compares: the versions of the facts a decision rests on, as decimal text."""

    account: bytes
    catalogue: bytes


class Keyed(NamedTuple):
    """A request under an Idempotency-Key: where its record lies in Redis, and what the request looks like.

    `in_flight_ms`: after this long without an end, nobody knows how the request has ended, and it may run again.
    """

    record: bytes
    fingerprint: bytes
    in_flight_ms: int


class Opened(NamedTuple):
    """The reservation that a call opens by its charge: where it lies, the shard's set of due ones, its name in there.

    `expires_at_ms` in Unix milliseconds, by Redis' clock.
    """

    reservation: bytes
    due: bytes
    member: bytes
    expires_at_ms: int


class Voided(IntEnum):
    """How the void script answered; the numbers are the script's own (lua/scripts/void.lua)."""

    VOIDED = 1
    KEPT = 2
    ALREADY = 3


class StaleFacts(NamedTuple):
    """The fence's versions where they differ from the caller's; 0 where nothing was published to Redis."""

    account: int
    catalogue: int


class AdmitCommand:
    """What calls of an account ask while its facts hold: all words of the command but each call's own, packed once.

    A call's own are what it takes and when, and its audit event.
    """

    __slots__ = ("_opening", "limits", "names", "quotas", "ring", "script", "unpack", "versions", "words")

    def __init__(self, keys: AccountKeys, versions: Versions, limits: Sequence[Limit]) -> None:
        """`limits`: the sliding windows first, then the fixed ones. Raises ValueError for any other order."""
        rings = [limit for limit in limits if limit.starts_at_ms is None]
        quotas = list(limits[len(rings) :])
        if [*rings, *quotas] != list(limits) or len(rings) > 1 or not quotas:
            raise ValueError("a call is judged by at most one sliding window, and then by quotas")
        self.limits = tuple(limits)
        self.ring = rings[0] if rings else None
        self.quotas = [(quota, quota.ends_at_ms) for quota in quotas]
        self.versions = versions
        # Where no window slides, a key that is always there stands in: a cluster that is moving a slot runs no script
        # on a key that it does not find.
        ring, body = (keys.ring, keys.ring_body) if rings else (keys.fence, keys.fence)
        counters = [keys.quota(quota.starts_at_ms or 0) for quota in quotas]
        self.names = (keys.fence, keys.catalogue_fence, ring, body, keys.stream, *counters)
        rows = [_pack_row(rings[0].maximum, rings[0].window_ms) if rings else _pack_row(UNLIMITED, 0)]
        rows += [_packed_quota(quota) for quota in quotas]
        self.words = (*versions, b"".join(rows))
        self.unpack = Struct(">BQBqq" + len(quotas) * "q").unpack
        self.script = scripts.ADMIT if len(quotas) == 1 else scripts.ADMIT_ANY
        whole = pack(b"EVALSHA", self.script.sha, len(self.names), *self.names, *self.words, b"", b"")
        self._opening = whole.removesuffix(b"$0\r\n\r\n" * 2) + b"$32\r\n"

    def packed(self, call: bytes, audit: bytes) -> bytes:
        """The whole command of a call without an Idempotency-Key."""
        return b"%b%b\r\n$%d\r\n%b\r\n" % (self._opening, call, len(audit), audit)


def _packed_quota(quota: Limit) -> bytes:
    """As lua/fragments/limits.lua reads it."""
    maximum = UNLIMITED if quota.maximum is None else quota.maximum
    return _pack_row(maximum, quota.ends_at_ms + KEPT_AFTER_WINDOW_MS)


def admit(
    store: Store,
    asked: AdmitCommand,
    take: Take,
    *,
    charged_at_ms: int,
    event: str,
    audit: bytes = b"",
    keyed: Keyed | None = None,
    opened: Opened | None = None,
    within: budgets.Asked | None = None,
    now_ms: int | None = None,
    epoch: int | None = None,
    revision: int | None = None,
) -> Decision | StaleFacts:
    """Judge and charge in one Redis command; all limits or none.

    `audit` is the event written in the same step, `event` its id. `now_ms` replaces the server's clock (tests).
    `within` are budgets that are judged as well.
    `epoch` is the server's when this account was published to it; raises ServerChanged when another one answers now.
    `revision`: it was not published; StaleFacts where the server knows less of the quota than this revision of it. The
    call is then one of a single quota, without `keyed`, `opened` and `within`.
    """
    call = pack_call(charged_at_ms, now_ms or 0, *take)
    if revision is not None:
        first = Command(scripts.ADMIT_FIRST, asked.names, (*asked.words, call, audit, revision))
        return _decision(store.run(first, epoch=epoch), asked, event)
    if keyed is None and opened is None and within is None:
        command = Command(asked.script, asked.names, (*asked.words, call, audit), asked.packed(call, audit))
        return _decision(store.run(command, epoch=epoch), asked, event)
    # Without a key, one that is always there stands in, as for the ring.
    record, fingerprint, in_flight_ms = keyed or (asked.names[0], b"", 0)
    names = [*asked.names]
    words: list[Argument] = [*asked.words, call, audit, event, fingerprint, in_flight_ms]
    script = scripts.ADMIT_ANY if within is None else scripts.ADMIT_WITHIN
    if within is not None:
        names += within.keys
    if opened is not None:
        names += (opened.reservation, opened.due)
        words += (opened.expires_at_ms, opened.member)
    if within is not None:
        words += (within.word,) if opened is not None else (b"", b"", within.word)
    reply = store.run(Command(script, (*names, record), words), epoch=epoch)
    return _decision(reply, asked, event) if within is None else _within(reply, asked, event, within)


def _within(reply: Any, asked: AdmitCommand, event: str, within: budgets.Asked) -> Decision | StaleFacts:
    """A decision with budgets, whose state is the end of the standings."""
    parts = [reply] if type(reply) is bytes else reply
    if type(parts[0]) is not bytes:
        return _decision(reply, asked, event)
    parts[0], state = parts[0][: -budgets.STATE_SIZE], parts[0][-budgets.STATE_SIZE :]
    decision = _decision(parts if len(parts) > 1 else parts[0], asked, event)
    assert isinstance(decision, Decision)
    standings = budgets.read(within, state, decision.now_ms)
    refusing = tuple(budget.standing.limit for budget in standings if budget.refuses)
    return decision._replace(budgets=standings, violated=(*decision.violated, *refusing))


def _version(held: bytes) -> int:
    """What a fence says; 0 for what is no version (see lua/fragments/fence.lua), as where there is none."""
    version = int(held) if held.isdigit() and len(held) < 20 else 0
    return version if version <= LARGEST_VERSION else 0


def _fence_version(held: bytes, known: bytes) -> int:
    """An account's fence: 0 where it was not published, unless the caller must load later facts first."""
    version = _version(held)
    return 0 if held.startswith(b"0") and version <= int(known) else version


def _decision(reply: Any, asked: AdmitCommand, event: str) -> Decision | StaleFacts:
    audit, answer = b"", None
    if type(reply) is not bytes:
        if reply[0] == Outcome.STALE:
            return StaleFacts(_fence_version(reply[1], asked.versions.account), _version(reply[2]))
        if reply[0] == Outcome.SKEWED:
            return Decision(Outcome.SKEWED, reply[1], "", ())
        reply, first_event, audit, head, body = reply
        event = first_event.decode()
        answer = KeptAnswer(head, body) if head else None
    states, at = asked.unpack(reply), 5
    number, now_ms, refusing, used, wait_ms = states[:5]
    standings = [] if asked.ring is None else [Standing(asked.ring, used, wait_ms if wait_ms >= 0 else None)]
    for quota, ends_at_ms in asked.quotas:
        standings.append(Standing(quota, states[at], ends_at_ms - now_ms if ends_at_ms > now_ms else 0))
        at += 1
    if number == _ADMITTED:
        return Decision(_ADMITTED, now_ms, event, tuple(standings))
    refusing >>= asked.ring is None
    violated = tuple(limit for at, limit in enumerate(asked.limits) if refusing >> at & 1)
    return Decision(Outcome(number), now_ms, event, tuple(standings), violated, audit, answer)


def void(
    store: Store,
    keys: AccountKeys,
    quota: Limit,
    tokens: int,
    *,
    event: str,
    audit: bytes,
    record: bytes = b"",
    taken_back: bool = False,
    back_to: tuple[bytes, ...] = (),
    closed: int = 0,
) -> tuple[Voided, Standing]:
    """Give `tokens` of the charge `event` back to its quota, once; how it went, and the quota's standing after it.

    `record` is that of the request's Idempotency-Key: the key is free afterwards. A charge whose request has ended
    under a key, or runs again, is KEPT, unless it is `taken_back` by the customer. `back_to` are the budgets of its API
    key and run (budgets.given_back_to), in which it has `closed` so many reservations.
    """
    if quota.starts_at_ms is None:
        raise ValueError("only a quota is given back; a minute that was used stays used")
    names = [
        keys.quota(quota.starts_at_ms),
        keys.stream,
        keys.void_marker(event),
        *back_to,
        *([record] if record else []),
    ]
    expiry = quota.ends_at_ms + KEPT_AFTER_WINDOW_MS
    # A record of the charge that PostgreSQL still has must not be restored as long as the void is not drained.
    marker_life_ms = scripts.RECORD_LIFE_MS if record else VOID_MARKER_LIFE_MS
    arguments: list[Argument] = [tokens, audit, event, marker_life_ms, expiry, b"1" if taken_back else b""]
    arguments.append(closed if back_to else b"")
    status, used = store.run(Command(scripts.VOID, names, arguments))
    return Voided(status), Standing(quota, used, 0)


def end_request(store: Store, record: bytes, event: str, answer: KeptAnswer | None) -> bool:
    """The request has ended, and its charge stands; a successful answer is kept where one is given.

    False when the record is gone, or is of another event by now.
    """
    head, body = answer or (b"", b"")
    return bool(store.run(Command(scripts.END_REQUEST, [record], [event, head, body])))


def give_up(store: Store, record: bytes, event: str) -> bool:
    """Whether a charge stands that nobody was served for by its first run: its request has run again under its key.

    Otherwise the key is free afterwards, and the charge is to be taken back.
    """
    return bool(store.run(Command(scripts.GIVE_UP, [record], [event])))
