"""Law L2, and what every client was told, once a history is over and everything has been drained."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from ratelimit.keys import AccountKeys
from tests.programs.simulator.standings import Call
from tests.programs.simulator.truth import Truth, void_id


class Row(NamedTuple):
    id: str
    event: str
    tokens: int
    kind: str
    feature: str
    window_start: int
    date: Any
    account: int


def broken(truth: Truth, now: datetime) -> list[str]:
    """Every law that does not hold, with its numbers."""
    accounts = list(truth.quotas)
    rows = [
        Row(*row)
        for row in truth.observer.rows(
            "SELECT id::text, event_id::text, tokens, kind, feature, extract(epoch FROM window_starts_at)::bigint,"
            " (charged_at AT TIME ZONE 'UTC')::date, account_id FROM usage_usagelog WHERE account_id = ANY(%s)",
            accounts,
        )
    ]
    return [
        *truth.broken,
        *_sums(truth, accounts, rows),
        *_redis(truth, accounts, rows, now),
        *_answers(truth, {row.id: row for row in rows}),
        *_keys(truth, rows),
        *(f"{name} has settled nothing of {charges}" for name, charges in truth.settling.items() if charges),
    ]


def _sums(truth: Truth, accounts: list[int], rows: list[Row]) -> Iterator[str]:
    windows: dict[Any, int] = defaultdict(int)
    features: dict[Any, int] = defaultdict(int)
    days: dict[Any, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for row in rows:
        windows[row.account, row.window_start] += row.tokens
        features[row.account, row.window_start, row.feature] += row.tokens
        tokens, calls = days[row.account, row.date, row.feature]
        change = {"charge": 1, "void": -1}.get(row.kind, 0)
        days[row.account, row.date, row.feature] = tokens + row.tokens, calls + change
    ask = truth.observer.rows
    start = "extract(epoch FROM {})::bigint"
    kept = {
        "counters": (
            windows,
            ask(f"SELECT account_id, {start.format('starts_at')}, tokens FROM usage_windowusage"
                " WHERE account_id = ANY(%s)", accounts),
        ),
        "features": (
            features,
            ask(f"SELECT account_id, {start.format('window_starts_at')}, feature, tokens FROM usage_featureusage"
                " WHERE account_id = ANY(%s)", accounts),
        ),
    }  # fmt: skip
    for name, (logged, found) in kept.items():
        counted = {tuple(key): tokens for *key, tokens in found if tokens}
        if counted != (logged := {key: tokens for key, tokens in logged.items() if tokens}):
            yield f"L2: {name} {counted}, log {logged}"
    by_day = "SELECT account_id, date, feature, tokens, calls FROM usage_dailyusage WHERE account_id = ANY(%s)"
    found = ask(by_day, accounts)
    counted = {(account, date, feature): sums for account, date, feature, *sums in found if any(sums)}
    if counted != (daily := {key: list(sums) for key, sums in days.items() if any(sums)}):
        yield f"L2: days {counted}, log {daily}"


def _redis(truth: Truth, accounts: list[int], rows: list[Row], now: datetime) -> Iterator[str]:
    """A window that is over is told nothing any more, but what was charged in it has been drained all the same."""
    redis = truth.server.own
    for account in accounts:
        if waiting := truth.waiting(account):
            yield f"L2: account {account} has {len(waiting)} entries that were never drained"
        for window, tokens in _windows(rows, account).items():
            held = redis.hgetall(AccountKeys(account).quota(window * 1000))
            ledger, pending = (int(held.get(name, 0)) for name in (b"l", b"p"))  # type: ignore[union-attr]
            over = window < _month(now)
            if pending or (ledger != tokens and not over):
                yield f"L2: Redis holds {held} of account {account} in {window}, the log {tokens}"


def _windows(rows: list[Row], account: int) -> dict[int, int]:
    windows: dict[int, int] = defaultdict(int)
    for row in rows:
        if row.account == account:
            windows[row.window_start] += row.tokens
    return windows


def _month(now: datetime) -> int:
    return int(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp())


def _corrected(row: Row) -> str:
    """The reservation whose bound an event corrects, as `reservation_facts.correction` names it."""
    return str(UUID(int=UUID(row.event).int ^ 2)) if row.kind == "extend" else ""


def _answers(truth: Truth, rows: dict[str, Row]) -> Iterator[str]:
    """Acknowledged charges <= log <= acknowledged + unknown outcomes, event by event."""
    for row in rows.values():
        if not {row.event, _corrected(row)} & truth.minted:
            yield f"L2: nobody has made {row}"
    for call in truth.calls:
        for event in call.minted if call.holding is None else ():
            if wrong := _wrong(truth, call, event, rows):
                yield f"L2: {wrong}: {call}; in the log {rows.get(event)} {rows.get(void_id(event))}"


def _wrong(truth: Truth, call: Call, event: str, rows: dict[str, Row]) -> str:
    """Of the events that were minted for one call, one is charged at most: that which its answer names."""
    charge, void = rows.get(event), rows.get(void_id(event))
    net = (charge.tokens if charge else 0) + (void.tokens if void else 0)
    if net not in (0, call.tokens):
        return "charged in part"
    if call.key or call.answer == "unknown" or event in truth.given_up:
        return ""
    if call.answer == "unavailable":
        return "answered 503 and charged" if net else ""
    if event != call.event:
        return "charged although it was not admitted" if net else ""
    if event in truth.lost or void_id(event) in truth.lost:
        return ""
    if call.answer == "served" and not call.void and not net:
        return "served and not charged"
    if call.answer == "served" and call.void == "done" and net:
        return "taken back and charged all the same"
    if call.answer == "failed" and call.void == "done" and net:
        return "failed and charged"
    return ""


def _keys(truth: Truth, rows: list[Row]) -> Iterator[str]:
    """A request under a key is charged once in the end; another one again only by a side that could not know."""
    net: dict[str, int] = defaultdict(int)
    for row in rows:
        net[row.event] += row.tokens
    keyed: dict[tuple[int, str], list[Call]] = defaultdict(list)
    for call in truth.calls:
        if call.key and call.holding is None:
            keyed[call.account, call.key].append(call)
    for (account, key), calls in keyed.items():
        charged = {event: call.feature for call in calls for event in call.minted if net[event]}
        known = [event for event in charged if event not in truth.unseen | truth.lost]
        if len(known) > 1 or len(charged) > len(set(charged.values())):
            yield f"L2: key {key} of account {account} was charged as {charged}: {[str(call) for call in calls]}"
        if truth.losses:
            continue  # a record that was lost knew of runs that PostgreSQL does not
        free = truth.lost | truth.given_back_unseen
        for call in calls:
            if call.answer == "served" and call.feature not in charged.values() and call.event not in free:
                yield f"L2: {call} and was not charged: {[str(call) for call in calls]}"
