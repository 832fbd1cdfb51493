"""events.py: ids that sort by time, and texts that come back as they went."""

from __future__ import annotations

import json
import os
import uuid
from typing import Any

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from billing.rules.ids import MINTED_AHEAD, mint
from tests.usage.any_events import CHARGED, INSTANTS, NOW_MS, events
from usage.log.batch import decode
from usage.log.events import (
    CHARGE,
    SETTLE,
    VOID,
    Event,
    MalformedEvent,
    adjustment_of,
    minted_at_ms,
    storable,
)


@given(INSTANTS)
def test_an_id_is_a_uuid_of_version_7_that_tells_its_instant(now_ms: int) -> None:
    minted = uuid.UUID(mint(now_ms))
    assert (minted.version, minted.variant) == (7, uuid.RFC_4122)
    assert str(minted) == str(minted).lower()
    assert minted_at_ms(str(minted)) == now_ms


@given(st.lists(INSTANTS, min_size=2, max_size=6, unique=True))
def test_ids_sort_by_time_as_text_and_as_uuids(instants: list[int]) -> None:
    minted = [mint(now_ms) for now_ms in sorted(instants)]
    assert sorted(minted) == minted
    assert sorted(map(uuid.UUID, minted)) == [uuid.UUID(text) for text in minted]


def test_ids_of_one_millisecond_differ_in_74_bits() -> None:
    minted = [uuid.UUID(mint(NOW_MS)).int for _ in range(2_000)]
    assert len(set(minted)) == 2_000
    ever_set, ever_clear = 0, 0
    for value in minted:
        ever_set, ever_clear = ever_set | value, ever_clear | ~value
    assert (ever_set & ever_clear & (2**128 - 1)).bit_count() == 74


@given(events(), INSTANTS)
def test_a_void_carries_its_whole_charge(event: Event, at_ms: int) -> None:
    charge = event._replace(kind=CHARGE, at_ms=event.charged_at_ms, bound=None)
    void = charge.voided(at_ms)
    assert (void.kind, void.tokens, void.at_ms) == (VOID, -charge.tokens, at_ms)
    assert void.charged() == charge
    assert decode(void.encode()).charged() == charge


@given(events(), INSTANTS, st.integers(0, 10**12))
def test_a_partial_adjustment_leaves_what_it_says_and_carries_its_whole_charge(
    event: Event, at_ms: int, stands: int
) -> None:
    charge = event._replace(kind=CHARGE, tokens=abs(event.tokens) % 10**12, at_ms=event.charged_at_ms, bound=None)
    settled = charge.settled(stands, at_ms)
    assert (settled.kind, charge.tokens + settled.tokens, settled.id) == (SETTLE, stands, charge.voided(at_ms).id)
    assert settled.charged() == charge
    assert decode(settled.encode()) == settled


def test_a_charge_and_its_void_have_ids_of_their_own_and_the_same_on_every_delivery() -> None:
    void = CHARGED.voided(NOW_MS + 5)
    assert CHARGED.id == uuid.UUID(CHARGED.charge)
    assert void.id == adjustment_of(CHARGED.id) == CHARGED.voided(NOW_MS + 9).id
    assert void.charge == CHARGED.charge and void.charged_at_ms == NOW_MS


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"deeper": value}
    return value


@pytest.mark.parametrize(
    ("metadata", "holds"),
    [
        ({}, True),
        ({"text": 'ümlaut 🦆 " \\ / \n'}, True),
        ({"escaped": "\\u0000", "twice": "\\\\u0000"}, True),
        ({"nul": "\x00"}, False),
        ({"nul": "\\\x00"}, False),
        ({"\x00": 1}, False),
        ({"lone": "\ud800"}, False),
        ({"\udfff": 1}, False),
        ({"pair": json.loads('"\\ud83e\\udd86"')}, True),
        ({"number": 1e308}, True),
        ({"number": json.loads("1e999")}, False),
        ({"number": float("nan")}, False),
        ({"number": [-float("inf")]}, False),
        ({"number": 10**4_000}, True),
        ({"number": 10**5_000}, False),
        (nested(31), True),
        (nested(33), False),
        ({"list": json.loads("[" * 900 + "]" * 900)}, False),
        ([], False),
        (None, False),
    ],
)
def test_metadata_are_what_postgresql_can_hold(db: None, metadata: Any, holds: bool) -> None:
    assert storable(metadata) is holds
    if not holds:
        if isinstance(metadata, dict):
            with pytest.raises(MalformedEvent):
                CHARGED._replace(metadata=metadata).encode()
        return
    event = decode(CHARGED._replace(metadata=metadata).encode())
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", [Jsonb(event.metadata)])
        assert cursor.fetchone() is not None


def test_a_forked_child_mints_no_id_of_its_parents() -> None:
    """Random parts are drawn ahead; gunicorn forks its workers from a process that may have drawn."""
    mint(NOW_MS)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, mint(NOW_MS).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)  # or a child that fails would be read from for ever
    ours = {mint(NOW_MS) for _ in range(2 * MINTED_AHEAD)}
    theirs = os.read(reading, 100).decode()
    os.close(reading)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert theirs not in ours
