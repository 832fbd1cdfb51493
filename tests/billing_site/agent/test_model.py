"""The model of our own: the same answer each time, and a count of what has been taken of it."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import pytest
from rest_framework.exceptions import ValidationError

from billing_site.agent.answer import AnswerFailed
from billing_site.agent.chat import read_chat
from billing_site.agent.events import data_of
from billing_site.agent.model import MOST_CHUNKS, OwnAnswer


def answer(text: str = "one two three", **told: Any) -> OwnAnswer:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    return OwnAnswer(read_chat({"model": "m", "messages": messages} | told), name="c", created=1)


def said(own: OwnAnswer) -> str:
    content: str = json.loads(own.whole())["choices"][0]["message"]["content"]
    return content


def units(read: int, written: int) -> dict[str, int]:
    return {"input": read, "cache_read": 0, "cache_write": 0, "output": written}


def test_it_says_the_last_message_again() -> None:
    own = answer()
    assert said(own) == "one two three"
    assert own.reported == units(5, 3)


@pytest.mark.parametrize(
    ("told", "words", "finish"),
    [
        ({}, 3, "stop"),
        ({"chunks": 7}, 7, "stop"),
        ({"chunks": 7, "stop_after": 2}, 2, "stop"),
        ({"stop_after": 0}, 0, "stop"),
        ({"chunks": 7, "max_tokens": 5}, 5, "length"),
        ({"chunks": 7, "max_tokens": 7}, 7, "stop"),
    ],
)
def test_it_has_as_many_words_as_it_is_told(told: dict[str, Any], words: int, finish: str) -> None:
    own = answer(**told)
    (choice,) = json.loads(own.whole())["choices"]
    assert (len(choice["message"]["content"].split()), choice["finish_reason"]) == (words, finish)
    assert own.reported == units(5, words)


def test_never_more_than_its_bound() -> None:
    own = answer(chunks=MOST_CHUNKS)
    own.whole()
    assert own.reported == own.bound == units(5, MOST_CHUNKS)
    assert answer(max_tokens=9).bound == units(5, 9)


def test_an_empty_message_is_answered_too() -> None:
    assert said(answer("")) == "Hello."


def test_a_stream_says_the_same_and_ends_with_what_was_used() -> None:
    *chunks, done = data_of(answer(stream=True, stream_options={"include_usage": True}).events())
    deltas = [json.loads(chunk)["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert "".join(delta.get("content", "") for delta in deltas) == said(answer())
    last = json.loads(chunks[-1])
    assert (last["choices"], last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == ([], 5, 3)
    assert done == b"[DONE]"


def test_a_stream_has_no_usage_unless_asked_for() -> None:
    assert b"usage" not in b"".join(answer(stream=True).events())


def test_only_what_was_taken_counts() -> None:
    own = answer(chunks=60)
    events = own.events()
    taken = list(islice(events, 1 + 5))  # the first one has the role alone
    events.close()  # type: ignore[attr-defined]
    assert (len(taken), own.reported) == (6, units(5, 4))  # nobody has asked for more than the fifth word


@pytest.mark.parametrize(("report", "reported"), [("nothing", None), ("zero", units(0, 0)), ("usage", units(5, 3))])
def test_it_reports_what_it_is_told_to(report: str, reported: Any) -> None:
    own = answer(report=report)
    assert ("usage" in json.loads(own.whole())) == (reported is not None)
    assert (own.reported, own.seen) == (reported, units(5, 3))


def test_it_fails_when_it_is_told_to() -> None:
    own = answer(chunks=9, fail_after=2)
    with pytest.raises(AnswerFailed):
        list(own.events())
    assert own.reported == units(5, 2)


def test_tools_speak_first() -> None:
    own = answer()
    own.say(["found", "it."])
    assert said(own) == "found it. one two three"


@pytest.mark.parametrize(
    "told",
    [
        {"chunks": 0},
        {"chunks": 1_001},
        {"chunk_ms": 1_001},
        {"chunk_ms": 61},
        {"stop_after": -1},
        {"fail_after": "2"},
        {"report": "all"},
        {"report": []},
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(told: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        answer(**told)
    assert list(refused.value.detail) == list(told)
