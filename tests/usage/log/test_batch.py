"""batch.py: texts come back as they went, alone and together, and whatever else is there is malformed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.rules.ids import mint
from tests.effort import examples
from tests.usage.any_events import CHARGED, INSTANTS, JSON_VALUES, NOW_MS, events
from usage.log.batch import EventBatch, decode, decode_all
from usage.log.events import LATEST_MS, Event, MalformedEvent


@given(st.lists(INSTANTS))
def test_many_ids_tell_their_instants_in_their_order(instants: list[int]) -> None:
    batch = EventBatch.of([CHARGED._replace(charge=mint(now_ms)) for now_ms in instants])
    assert [*batch.charged_at_ms] == instants


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
    "with a key and without": [CHARGED._replace(key="r" * 32, fingerprint="f" * 32).encode(), WELL],
    "settled in part, with a key and without": [
        CHARGED._replace(key="r" * 32, fingerprint="f" * 32).settled(4, NOW_MS).encode(),
        CHARGED.settled(4, NOW_MS).encode(),
        WELL,
    ],
}


@pytest.mark.parametrize("texts", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_no_text_changes_how_its_neighbours_are_read(texts: list[bytes]) -> None:
    try:
        one_by_one = [decode(text) for text in texts]
    except MalformedEvent:
        with pytest.raises(MalformedEvent):
            decode_all(texts)
    else:
        assert [*decode_all(texts)] == one_by_one


@examples(150, 1500)
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


@examples(150, 1500)
@given(events(), st.data())
def test_a_spoilt_event_is_malformed_or_another_event(event: Event, data: st.DataObject) -> None:
    text = bytearray(event.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    assert_an_event_or_malformed(bytes(text))


@examples(150, 1500)
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
    assert [*decode_all([text, CHARGED.encode()])] == [event, CHARGED]


@examples(50, 500)
@given(st.lists(events(), max_size=6))
def test_a_batch_is_read_as_each_of_it(written: list[Event]) -> None:
    texts = [event.encode() for event in written]
    assert [*decode_all(texts)] == [decode(text) for text in texts] == written


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
        {"bound": -1},
        {"bound": True},
        {"bound": 10**15},
        {"key": "x" * 33},
        {"fingerprint": None},
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
