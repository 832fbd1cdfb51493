"""The operations on limits: admit and void a call, tell what PostgreSQL knows, acknowledge what it has committed."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple

from ratelimit import scripts
from ratelimit.keys import AccountKeys
from ratelimit.limits import Decision, Outcome, Standing, Take
from ratelimit.store import Argument, Store
from ratelimit.wire import pack

VOID_MARKER_LIFE_MS = 2 * 3600 * 1000
QUOTA_KEPT_AFTER_WINDOW_MS = 3 * 24 * 3600 * 1000
"""A window's counter outlives it: calls of its last second are voided and drained after its end."""


class Versions(NamedTuple):
    """What the fence compares: the versions of the facts a decision rests on, as decimal text."""

    account: bytes
    catalogue: bytes


class Receipt(NamedTuple):
    """An idempotency key's place, and what the request that brought it looks like."""

    key: bytes
    fingerprint: bytes


class Bought(NamedTuple):
    """All that a receipt holds: what Redis is told again when it has lost it. `runs` that have not failed."""

    receipt: Receipt
    event: str
    audit: bytes
    runs: int
    expires_at_ms: int


class Counter(NamedTuple):
    """PostgreSQL's counter of one account and window at one revision. `ends_at_ms` is the window's end."""

    key: bytes
    ledger: int
    revision: int
    ends_at_ms: int


class Entry(NamedTuple):
    """A drained stream entry: `counter` is the position of the counter it moved, None for an entry set aside."""

    stream_id: bytes
    counter: int | None
    tokens: int


class Held(NamedTuple):
    """What Redis holds of one quota; None where it holds nothing."""

    ledger: int | None
    revision: int | None
    pending: int | None


class Voided(IntEnum):
    """How the void script answered; the numbers are the script's own (lua/void.lua)."""

    VOIDED = 1
    KEPT = 2
    ALREADY = 3


class StaleFacts(NamedTuple):
    """The fence's versions where they differ from the caller's; 0 where Redis was told none."""

    account: int
    catalogue: int


class AdmitCommand:
    """What calls of an account ask of its limits while its facts hold: all words of the command but each call's own.

    They are packed once; a call's own are its moment and its audit event.
    """

    __slots__ = ("_opening", "limits", "names", "quota_ends_at_ms", "versions", "words")

    def __init__(self, keys: AccountKeys, versions: Versions, takes: Sequence[Take]) -> None:
        """`takes`: of a sliding window, which may be missing, and last of a quota."""
        *minutes, (quota, _) = takes
        if len(minutes) > 1 or any(limit.starts_at_ms is not None for limit, _ in minutes):
            raise ValueError("a call takes of at most one sliding window, and last of a quota")
        if quota.starts_at_ms is None:
            raise ValueError("a call takes of a quota")
        self.limits = tuple(limit for limit, _ in takes)
        self.quota_ends_at_ms = quota.ends_at_ms
        # Where no window slides, a key that is always there stands in: a cluster that is moving a slot runs no script
        # on a key that it does not find.
        ring, ring_body = (keys.ring, keys.ring_body) if minutes else (keys.fence, keys.fence)
        quota_key = keys.quota(quota.starts_at_ms)
        self.names = (keys.fence, keys.catalogue_fence, ring, ring_body, quota_key, keys.stream)
        self.versions = versions
        self.words = (*versions, _packed_limits(takes))
        whole = pack(b"EVALSHA", scripts.ADMIT.sha, len(self.names), *self.names, *self.words, b"", b"")
        self._opening = whole.removesuffix(b"$0\r\n\r\n" * 2) + b"$16\r\n"

    def packed(self, moment: bytes, audit: bytes) -> bytes:
        """The whole command of a call without a receipt."""
        return b"%b%b\r\n$%d\r\n%b\r\n" % (self._opening, moment, len(audit), audit)


def admit(
    store: Store,
    asking: AdmitCommand,
    *,
    charged_at_ms: int,
    event: str,
    audit: bytes = b"",
    receipt: Receipt | None = None,
    now_ms: int | None = None,
    epoch: int | None = None,
) -> Decision | StaleFacts:
    """Judge and charge in one Redis command; all limits or none.

    `audit` is the event written in the same step, `event` its id. `now_ms` replaces the server's clock (tests).
    `epoch` is the server's when this account was told to it; raises ServerChanged when another one answers now.
    """
    moment = pack_moment(charged_at_ms, now_ms or 0)
    if receipt is None:
        words, packed = (*asking.words, moment, audit), asking.packed(moment, audit)
        reply = store.run(scripts.ADMIT, asking.names, words, epoch=epoch, packed=packed)
    else:
        keyed = (*asking.words, moment, audit, event, receipt.fingerprint)
        reply = store.run(scripts.ADMIT, (*asking.names, receipt.key), keyed, epoch=epoch)
    return _decision(reply, asking, event)


UNLIMITED = 2**53 - 1
_ADMITTED = Outcome.ADMITTED  # looking it up in the enumeration takes longer than comparing it
_pack_limits = Struct(">6Q").pack
pack_moment = Struct(">2Q").pack
"""When it is charged, and now or 0: as lua/limits.lua reads it."""
STANDINGS = Struct(">BQBqqq")
"""How the admit script answers: outcome, now, what refuses, the minute's used and wait, the quota's used."""
_unpack_standings = STANDINGS.unpack


def _packed_limits(takes: Sequence[Take]) -> bytes:
    """As lua/limits.lua reads them."""
    *minutes, (quota, cost) = takes
    minute, request = minutes[0] if minutes else (None, 0)
    return _pack_limits(
        minute.maximum or 0 if minute else 0,
        request,
        minute.window_ms if minute else 0,
        UNLIMITED if quota.maximum is None else quota.maximum,
        cost,
        quota.ends_at_ms + QUOTA_KEPT_AFTER_WINDOW_MS,
    )


def _told(held: bytes, known: bytes) -> int:
    """An account's fence: 0 where Redis was not told the account, unless the caller must load later facts first."""
    version = int(held)
    return 0 if held.startswith(b"0") and version <= int(known) else version


def _decision(reply: Any, asking: AdmitCommand, event: str) -> Decision | StaleFacts:
    first_run = b""
    if type(reply) is not bytes:
        if reply[0] == Outcome.STALE:
            return StaleFacts(_told(reply[1], asking.versions.account), int(reply[2]))
        if reply[0] == Outcome.SKEWED:
            return Decision(Outcome.SKEWED, reply[1], "", ())
        reply, event, first_run = reply[0], reply[1].decode(), reply[2]
    number, now_ms, refusing, used, wait_ms, tokens = _unpack_standings(reply)
    limits, quota_waits_ms = asking.limits, asking.quota_ends_at_ms - now_ms
    standings: tuple[Standing, ...] = (Standing(limits[-1], tokens, quota_waits_ms if quota_waits_ms > 0 else 0),)
    if len(limits) > 1:
        standings = (Standing(limits[0], used, wait_ms if wait_ms >= 0 else None), *standings)
    if number == _ADMITTED:
        return Decision(_ADMITTED, now_ms, event, standings)
    violated = tuple(limit for limit in limits if refusing & (1 if limit.starts_at_ms is None else 2))
    outcome = Outcome(number)
    return Decision(outcome, now_ms, event, standings, violated, first_run if outcome is Outcome.REPLAYED else b"")


def void(
    store: Store, keys: AccountKeys, take: Take, *, event: str, audit: bytes, receipt: Receipt | None = None
) -> tuple[Voided, Standing]:
    """Give back what `take` took under `event`, once; returns how it went and the quota's standing after it."""
    limit = take.limit
    if limit.starts_at_ms is None:
        raise ValueError("only a quota is given back; a minute that was used stays used")
    names = [
        keys.quota(limit.starts_at_ms),
        keys.stream,
        keys.void_marker(event),
        receipt.key if receipt else keys.stream,
    ]
    expiry = limit.ends_at_ms + QUOTA_KEPT_AFTER_WINDOW_MS
    # A receipt of the charge that PostgreSQL still has must not be recalled as long as the void is not drained.
    marker_life_ms = scripts.RECEIPT_LIFE_MS if receipt else VOID_MARKER_LIFE_MS
    arguments: list[Argument] = [take.amount, audit, event, marker_life_ms, expiry, b"1" if receipt else b""]
    status, used = store.run(scripts.VOID, names, arguments)
    return Voided(status), Standing(limit, used, 0)


def tell(
    store: Store, keys: AccountKeys, versions: Versions, counters: Sequence[Counter], receipts: Sequence[Bought] = ()
) -> list[bool]:
    """Raise the fences to these versions, store counters of a newer revision than Redis knows, and `recall`."""
    names = [keys.fence, keys.catalogue_fence]
    arguments: list[Argument] = [*versions, len(counters)]
    for counter in counters:
        names.append(counter.key)
        arguments += _counter_arguments(counter)
    _add_receipts(keys, receipts, names, arguments)
    return [brought == 1 for brought in store.run(scripts.TELL, names, arguments)]


def recall(store: Store, keys: AccountKeys, receipts: Sequence[Bought]) -> list[bool]:
    """Bring back those receipts of one account that Redis lacks, but for voided charges; says of each if it was."""
    names: list[bytes] = []
    arguments: list[Argument] = []
    _add_receipts(keys, receipts, names, arguments)
    return [brought == 1 for brought in store.run(scripts.RECALL, names, arguments)]


def _add_receipts(keys: AccountKeys, receipts: Sequence[Bought], names: list[bytes], arguments: list[Argument]) -> None:
    for bought in receipts:
        names += (bought.receipt.key, keys.void_marker(bought.event))
        arguments += (bought.receipt.fingerprint, bought.event, bought.audit, bought.runs, bought.expires_at_ms)


def forget(store: Store, receipts: Sequence[tuple[bytes, str]]) -> int:
    """End receipts (key and event) of one shard that their events hold still; returns how many."""
    return int(store.run(scripts.FORGET, [key for key, _ in receipts], [event for _, event in receipts]))


def acknowledge(store: Store, stream: bytes, counters: Sequence[Counter], entries: Sequence[Entry]) -> int:
    """Remove committed entries from a shard's stream and settle their counters; returns how many really left."""
    names = [stream, *(counter.key for counter in counters)]
    arguments: list[Argument] = [len(counters)]
    for counter in counters:
        arguments += _counter_arguments(counter)
    for entry in entries:
        arguments += (entry.stream_id, 0 if entry.counter is None else entry.counter + 1, entry.tokens)
    return int(store.run(scripts.ACKNOWLEDGE, names, arguments))


def trim(store: Store, stream: bytes, first: bytes, last: bytes, counters: Sequence[tuple[Counter, int]]) -> bool:
    """Acknowledge every entry from `first`, the head of a shard's stream, to `last`; each counter with their tokens.

    False, and nothing has changed, when any of them may have left: then `acknowledge` them one by one.
    """
    names = [stream, *(counter.key for counter, _ in counters)]
    arguments: list[Argument] = [first, last]
    for counter, tokens in counters:
        arguments += (*_counter_arguments(counter), tokens)
    return bool(store.run(scripts.TRIM, names, arguments))


def look(store: Store, stream: bytes, quotas: Sequence[bytes]) -> tuple[bytes, list[Held]]:
    """What Redis holds of one shard's quotas, and the id of the stream's last entry (b"": none) at the same instant."""
    last, *fields = store.run(scripts.LOOK, [stream, *quotas], [])
    numbers = [None if field is None else int(field) for field in fields]
    return last, [Held(*numbers[at : at + 3]) for at in range(0, len(numbers), 3)]


def mend(store: Store, stream: bytes, counter: Counter, last: bytes, looked_at: Held, pending: int) -> bool:
    """Make `pending` what Redis calls pending, and tell it the counter, in one step.

    False when nothing was done, since the quota is no longer as `look` has shown it: look again.
    """
    seen = b"" if looked_at.pending is None else looked_at.pending
    arguments: list[Argument] = [last, seen, pending, *_counter_arguments(counter)]
    return bool(store.run(scripts.MEND, [stream, counter.key], arguments))


def _counter_arguments(counter: Counter) -> tuple[int, int, int]:
    return counter.ledger, counter.revision, counter.ends_at_ms + QUOTA_KEPT_AFTER_WINDOW_MS
