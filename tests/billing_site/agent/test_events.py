"""Server-sent events: as a stream of bytes that networks cut anywhere."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_site.agent import events
from billing_site.agent.events import data_of, error_event, event_of

values = st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3)


@given(
    sent=st.lists(values, max_size=5), cut=st.integers(min_value=1, max_value=50), ends=st.sampled_from(["\n", "\r\n"])
)
def test_wherever_it_is_cut_the_same_comes_out(sent: list[dict[str, str]], cut: int, ends: str) -> None:
    stream = b": a comment\n\n".join(map(event_of, sent)).replace(b"\n", ends.encode())
    blocks = [stream[at : at + cut] for at in range(0, len(stream), cut)]
    assert [json.loads(data) for data in data_of(blocks)] == sent


def test_lines_of_one_event_are_one_text_and_other_fields_are_left_out() -> None:
    assert list(data_of([b"event: x\nid: 7\ndata:a\ndata: b\nretry: 1\n\ndata:  c\n\n"])) == [b"a\nb", b" c"]


def test_one_that_is_cut_off_is_none() -> None:
    assert list(data_of([b"data: a\n\ndata: b\n", b"data: c"])) == [b"a"]


@pytest.mark.parametrize("endless", [b"data: " + b"x" * 60, b"data: x\n" * 60])
def test_one_that_does_not_end_is_given_up(endless: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LONGEST_EVENT", 50)
    with pytest.raises(events.TooLong):
        list(data_of([endless]))


def test_an_error_has_the_members_that_clients_look_for() -> None:
    (data,) = data_of([error_event("upstream_failed", "It failed.")])
    assert json.loads(data)["error"]["code"] == "upstream_failed"
