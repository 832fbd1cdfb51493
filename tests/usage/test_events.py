"""events.py: ids that sort by time, and texts that come back as they went."""

from __future__ import annotations

import json
import os
import uuid
from typing import Any

import pytest
from django.db import connection
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from ratelimit.limits import LARGEST_NUMBER
from usage.events import (
    CHARGE,
    GATEWAY,
    LATEST_MS,
    MINTED_AHEAD,
    TRACK,
    VOID,
    Event,
    MalformedEvent,
    decode,
    decode_all,
    mint,
    minted_all_at_ms,
    minted_at_ms,
    storable,
    void_of,
)

NOW_MS = 1_795_000_000_000
INSTANTS = st.integers(0, LATEST_MS)
PRINTABLE = st.characters(exclude_categories=["C", "Z"])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
METADATA = st.none() | st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=4).filter(storable)


@st.composite
def events(draw: st.DrawFn) -> Event:
    start = draw(st.integers(0, LATEST_MS // 1000 - 1))
    return Event(
        charge=mint(draw(INSTANTS)),
        kind=draw(st.sampled_from([CHARGE, VOID])),
        account=draw(st.integers(0, LARGEST_NUMBER)),
        window_start=start,
        window_end=draw(st.integers(start + 1, LATEST_MS // 1000)),
        feature=draw(st.text(PRINTABLE, max_size=50)),
        tokens=draw(st.integers(-LARGEST_NUMBER, LARGEST_NUMBER)),
        at_ms=draw(INSTANTS),
        source=draw(st.sampled_from([GATEWAY, TRACK])),
        key_prefix=draw(st.text(PRINTABLE, max_size=8)),
        metadata=draw(METADATA),
    )


CHARGED = Event(
    charge=mint(NOW_MS),
    kind=CHARGE,
    account=7,
    window_start=1_793_491_200,
    window_end=1_796_083_200,
    feature="trace_start",
    tokens=10,
    at_ms=NOW_MS,
)


@settings(deadline=None)
@given(st.lists(INSTANTS))
def test_many_ids_tell_their_instants_in_their_order(instants: list[int]) -> None:
    assert minted_all_at_ms(mint(now_ms) for now_ms in instants) == instants


@settings(deadline=None)
@given(INSTANTS)
def test_an_id_is_a_uuid_of_version_7_that_tells_its_instant(now_ms: int) -> None:
    minted = uuid.UUID(mint(now_ms))
    assert (minted.version, minted.variant) == (7, uuid.RFC_4122)
    assert str(minted) == str(minted).lower()
    assert minted_at_ms(str(minted)) == now_ms


@settings(deadline=None)
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


@settings(deadline=None)
@given(events())
def test_an_event_comes_back_as_it_went(event: Event) -> None:
    assert decode(event.encode()) == event


WELL = CHARGED.encode()
OPEN, CLOSE = CHARGED._replace(metadata={"a": [[1], [2]]}).encode().split(b"],[")
NEIGHBOURS = {
    "two in one, and one in two": [OPEN + b"]", b"[" + CLOSE, WELL + b"," + WELL],
    "a quote left open": [WELL[:-1] + b',"', b'"]', WELL + b"," + WELL],
    "closed too early": [WELL[:20] + b"],[" + WELL[20:], WELL],
    "nothing": [b"", WELL],
    "space around": [b" " + WELL, WELL + b"\n", WELL],
    "half a character at the end": [WELL[:-2] + b"\xc3", b"\xa9" + WELL],
    "a list of events": [b"[" + WELL + b"]", WELL],
    "no list": [b"{}", WELL, b'"[]"'],
    "deeper than Python reads": [b"[" * 100_000, WELL],
    "with a receipt and without": [CHARGED._replace(receipt="r" * 32, fingerprint="f" * 32).encode(), WELL],
}


@pytest.mark.parametrize("texts", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_no_text_changes_how_its_neighbours_are_read(texts: list[bytes]) -> None:
    try:
        one_by_one = [decode(text) for text in texts]
    except MalformedEvent:
        with pytest.raises(MalformedEvent):
            decode_all(texts)
    else:
        assert decode_all(texts) == one_by_one


@settings(deadline=None)
@given(events(), INSTANTS)
def test_a_void_carries_its_whole_charge(event: Event, at_ms: int) -> None:
    charge = event._replace(kind=CHARGE, at_ms=event.charged_at_ms)
    void = charge.voided(at_ms)
    assert (void.kind, void.tokens, void.at_ms) == (VOID, -charge.tokens, at_ms)
    assert void.charged() == charge
    assert decode(void.encode()).charged() == charge


def test_a_charge_and_its_void_have_ids_of_their_own_and_the_same_on_every_delivery() -> None:
    void = CHARGED.voided(NOW_MS + 5)
    assert CHARGED.id == uuid.UUID(CHARGED.charge)
    assert void.id == void_of(CHARGED.id) == CHARGED.voided(NOW_MS + 9).id
    assert void.charge == CHARGED.charge and void.charged_at_ms == NOW_MS


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
@example(b"")
@example(b"null")
@example(b"[]")
@example(b"[1]")
@example(b"{}")
@example(b"7")
@example(b"[" * 100_000)
@example(b"\xff\xfe[1]")
@example(b"[" + b"9" * 5_000 + b"]")
def test_bytes_that_are_no_event_are_malformed_and_nothing_else(text: bytes) -> None:
    with pytest.raises(MalformedEvent):
        decode(text)


@settings(max_examples=150, deadline=None)
@given(events(), st.data())
def test_a_spoilt_event_is_malformed_or_another_event(event: Event, data: st.DataObject) -> None:
    text = bytearray(event.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    assert_an_event_or_malformed(bytes(text))


@settings(max_examples=150, deadline=None)
@given(events(), st.integers(0, 11), JSON_VALUES)
def test_a_spoilt_field_is_malformed_or_another_event(event: Event, place: int, value: Any) -> None:
    fields = json.loads(event.encode())
    fields[place] = value
    assert_an_event_or_malformed(json.dumps(fields).encode())


def assert_an_event_or_malformed(text: bytes) -> None:
    try:
        event = decode(text)
    except MalformedEvent:
        with pytest.raises(MalformedEvent):
            decode_all([CHARGED.encode(), text])
        return
    assert decode(event.encode()) == event
    assert decode_all([text, CHARGED.encode()]) == [event, CHARGED]


@settings(max_examples=50, deadline=None)
@given(st.lists(events(), max_size=6))
def test_a_batch_is_read_as_each_of_it(written: list[Event]) -> None:
    texts = [event.encode() for event in written]
    assert decode_all(texts) == [decode(text) for text in texts] == written


@pytest.mark.parametrize("spoilt", [[b"[1", b"2]"], [b"[1],[1]", b"", b"[1"], [b""], [b"[]"], [b"7"], [b"null"]])
def test_a_spoilt_text_does_not_pass_for_a_part_of_its_neighbour(spoilt: list[bytes]) -> None:
    with pytest.raises(MalformedEvent):
        decode_all([CHARGED.encode(), *spoilt])


def test_a_bool_is_no_number_of_tokens() -> None:
    text = CHARGED.encode().replace(b",10,", b",true,")
    for read in (decode, lambda text: decode_all([text])):
        with pytest.raises(MalformedEvent):
            read(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"account": -1},
        {"account": True},
        {"account": 10**15},
        {"account": "7"},
        {"account": 7.0},
        {"tokens": 10**15},
        {"tokens": -(10**15)},
        {"tokens": None},
        {"window_end": CHARGED.window_start},
        {"window_end": LATEST_MS // 1000 + 1},
        {"at_ms": LATEST_MS + 1},
        {"charge": mint(LATEST_MS + 1)},
        {"charge": "no uuid"},
        {"charge": CHARGED.charge.upper().replace("-", "")},
        {"charge": "０" + CHARGED.charge[1:]},  # int() reads it, PostgreSQL does not
        {"charge": None},
        {"kind": "refund"},
        {"kind": ["charge"]},
        {"feature": "x" * 51},
        {"feature": "a\x00b"},
        {"feature": "a\nb"},
        {"feature": "\ud800"},
        {"source": "x" * 11},
        {"key_prefix": "x" * 9},
        {"metadata": []},
        {"metadata": "text"},
        {"metadata": 0},
    ],
)
def test_what_the_log_cannot_hold_is_malformed(wrong: dict[str, Any]) -> None:
    text = json.dumps([1, *CHARGED._replace(**wrong)]).encode()
    with pytest.raises(MalformedEvent):
        decode(text)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_format_is_malformed(version: Any) -> None:
    text = json.dumps([version, *CHARGED]).encode()
    with pytest.raises(MalformedEvent, match="format"):
        decode(text)


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
        os.write(writing, mint(NOW_MS).encode())
        os._exit(0)
    ours = {mint(NOW_MS) for _ in range(2 * MINTED_AHEAD)}
    assert os.read(reading, 100).decode() not in ours
    os.waitpid(child, 0)
    os.close(reading)
    os.close(writing)
