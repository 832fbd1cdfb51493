"""Laws R1 and R2, once a history is over, everything has been drained and everything that was open was due."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import NamedTuple

from ratelimit.keys import AccountKeys
from tests.programs.simulator.standings import Holding
from tests.programs.simulator.truth import Truth
from usage.reconciliation.reconcile import reconcile

LEVELS = 3
"""Children are finished before their parents: sweeps in which the last one is."""


class Row(NamedTuple):
    id: str
    state: str
    bound: int
    charged: int | None
    uncollected: int | None


def broken(truth: Truth, now: datetime) -> list[str]:
    """Every law that does not hold, with its numbers."""
    accounts = list(truth.quotas)
    rows = {
        row[0]: Row(*row)
        for row in truth.observer.rows(
            "SELECT id::text, state, bound, charged, uncollected FROM usage_reservation WHERE account_id = ANY(%s)",
            accounts,
        )
    }
    holdings: dict[str, list[Holding]] = defaultdict(list)
    """Several of an id: who asks for the same under the same Idempotency-Key is given the same reservation."""
    for call in truth.calls:
        if call.holding and call.holding.id:
            holdings[call.holding.id].append(call.holding)
    return [
        *_rows(truth, accounts, rows, holdings),
        *_told(truth, rows, holdings),
        *_open_in_redis(truth, accounts, rows),
        *_drifts(truth, now),
    ]


def _rows(truth: Truth, accounts: list[int], rows: dict[str, Row], holdings: dict[str, list[Holding]]) -> Iterator[str]:
    """What the log says of each is what its row says it was charged."""
    logged: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for reservation, kind, tokens in truth.observer.rows(
        "SELECT coalesce(metadata->>'reservation', event_id::text),"
        " CASE WHEN metadata ? 'reservation' THEN 'extend' ELSE kind END, tokens"
        " FROM usage_usagelog WHERE account_id = ANY(%s) AND source = 'reserve' AND kind <> 'refused' ORDER BY kind",
        accounts,
    ):
        logged[reservation].append((kind, tokens))
    for reservation, events in logged.items():
        row, held = rows.get(reservation), holdings.get(reservation, [])
        of = ", ".join(map(str, held))
        if row is None:
            yield f"R2: {events} of a reservation without a row: {of}"
        elif row.state == "open":
            yield f"R1: {row} was never finished: {events}, {of}"
        elif sum(tokens for _, tokens in events) != row.charged:
            yield f"R2: {row} is {events} in the log: {of}"
        elif sum(kind not in ("charge", "extend") for kind, _ in events) != 1:
            yield f"R1: {row} has not one end: {events}, {of}"
        elif row.charged is None or row.charged < 0 or row.uncollected is None or row.uncollected < 0:
            yield f"R2: {row}: {events}, {of}"
        elif held and row.charged + row.uncollected not in {0}.union(*(each.said for each in held)):
            yield f"R1: {row} has cost what nobody has said: {events}, {of}"


def _told(truth: Truth, rows: dict[str, Row], holdings: dict[str, list[Holding]]) -> Iterator[str]:
    """Its end is told as the log has it, as long as nothing was decided by two sides."""
    if truth.losses or truth.server.was_out_of_reach:
        return
    for holding in chain.from_iterable(holdings.values()):
        row = rows.get(holding.id)
        ends = {told for told in holding.told if told[0] != "not found"}
        if row is None:
            if ends:
                yield f"R1: {holding} is not there"
            continue
        assert row.charged is not None
        assert row.uncollected is not None
        for state, charged, cost in ends:
            if (state, charged) != (row.state, row.charged) or cost not in (None, row.charged + row.uncollected):
                yield f"R1: {holding} was told {state, charged, cost}, and is {row}"


def _open_in_redis(truth: Truth, accounts: list[int], rows: dict[str, Row]) -> Iterator[str]:
    redis = truth.server.own
    for account in accounts:
        for name in redis.scan_iter(AccountKeys(account).reservation("*"), 1000):
            held = redis.hgetall(name)
            row = rows.get(name.decode().rpartition(":")[2])
            # Without a row its call was refused, or its charge is lost: nobody was told of it.
            if row is not None and b"s" not in held:  # type: ignore[operator]
                yield f"R1: Redis still holds {name!r} {held}, which is {row}"


def _drifts(truth: Truth, now: datetime) -> list[str]:
    found: list[object] = []
    for account in truth.quotas:
        reconcile(now, found.append, account=account)
    return [f"L2: {drift}" for drift in found]
