"""The upstream's answers, from a real server: what is handed on, what counts as used, and what is told of failures."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from billing_site.agent.answer import AnswerFailed
from billing_site.agent.chat import read_chat
from billing_site.agent.events import data_of
from billing_site.agent.upstream import ASSUMED_OUTPUT, UpstreamAnswer
from tests.servers.openai.provider import KEY, SECRET
from tests.servers.openai.running import ModelServer, model_server

__all__ = ["model_server"]


def answer(stream: bool = True, member: dict[str, Any] | None = None, **metadata: str) -> UpstreamAnswer:
    messages = [{"role": "user", "content": "Hello, you."}]
    body = {"model": "m", "messages": messages, "stream": stream, "metadata": metadata}
    return UpstreamAnswer(read_chat(body | (member or {})))


def units(read: int, cached: int, written: int) -> dict[str, int | None]:
    return {"input": read, "cache_read": cached, "cache_write": None, "output": written}


def taken(of: UpstreamAnswer) -> tuple[int, AnswerFailed | None]:
    """How many events it had, and how it failed."""
    count = 0
    try:
        for _ in of.events():
            count += 1
    except AnswerFailed as failed:
        return count, failed
    return count, None


class TestAnswers:
    @pytest.mark.parametrize("stream", [True, False])
    def test_cached_units_are_told_apart_and_reasoning_is_output(self, model_server: ModelServer, stream: bool) -> None:
        asked = answer(stream, prompt="20", cached="15", words="4", reasoning="6")
        list(asked.events()) if stream else asked.whole()
        assert asked.reported == units(5, 15, 10)

    @pytest.mark.parametrize("stream", [True, False])
    def test_an_explicit_zero_is_one(self, model_server: ModelServer, stream: bool) -> None:
        asked = answer(stream, prompt="0", words="0")
        list(asked.events()) if stream else asked.whole()
        assert asked.reported == units(0, 0, 0)

    @pytest.mark.parametrize("stream", [True, False])
    def test_no_report_is_none_and_leaves_our_own_count(self, model_server: ModelServer, stream: bool) -> None:
        asked = answer(stream, usage="none", words="4")
        list(asked.events()) if stream else asked.whole()
        assert asked.reported is None
        assert asked.seen == {"input": 3, "cache_read": None, "cache_write": None, "output": 6}  # 11 and 24 bytes

    def test_a_stream_is_handed_on_as_it_is(self, model_server: ModelServer) -> None:
        *chunks, done = data_of(answer(words="2").events())
        choices = [json.loads(chunk)["choices"][0] for chunk in chunks]
        assert [choice["delta"].get("content") for choice in choices] == ["word0 ", "word1 ", None]
        assert (choices[-1]["finish_reason"], done) == ("stop", b"[DONE]")

    def test_the_usage_block_is_for_who_asked_for_it(self, model_server: ModelServer) -> None:
        events = b"".join(answer(member={"stream_options": {"include_usage": True}}).events())
        assert events.count(b'"usage"') == 1
        assert b"usage" not in b"".join(answer().events())

    def test_no_more_is_taken_once_nobody_reads(self, model_server: ModelServer) -> None:
        asked = answer(words="200", ms="20")
        events = asked.events()
        for _ in range(5):
            next(events)
        events.close()  # type: ignore[attr-defined]
        assert asked.seen["output"] == 6  # four of the five: nobody has asked for more than the fifth
        while not model_server.left():
            pass


class TestWhatIsSent:
    def test_only_the_body_and_our_own_key(self, model_server: ModelServer) -> None:
        body = {"temperature": 0.5, "tools": [{"type": "function"}], "stream_options": {"x": 1}, "n": 2, "big": 10**20}
        list(answer(member=body).events())
        (request,) = model_server.asked()
        assert request["path"] == "/v1/chat/completions"
        assert request["headers"]["Authorization"] == f"Bearer {KEY}"
        assert set(request["headers"]) == {
            "Host",
            "Content-Length",
            "Content-Type",
            "Accept-Encoding",
            "User-Agent",
            "Authorization",
        }
        sent = answer(member=body).chat.body | {"stream_options": {"x": 1, "include_usage": True}}
        assert request["body"] == sent

    def test_what_is_no_stream_is_sent_as_it_is(self, model_server: ModelServer) -> None:
        asked = answer(stream=False)
        asked.whole()
        assert model_server.asked()[0]["body"] == asked.chat.body

    @pytest.mark.parametrize("ending", ["", "/", "/chat/completions", "/chat/completions?version=1"])
    def test_the_address_may_be_whole(self, model_server: ModelServer, settings: Any, ending: str) -> None:
        settings.AGENT_UPSTREAM_URL = model_server.url + ending
        answer(stream=False).whole()
        assert model_server.asked()[0]["path"].startswith("/v1/chat/completions")


def test_the_bound_holds_whatever_the_text_is() -> None:
    asked = answer(member={"max_tokens": 50, "n": 3})
    assert asked.bound["output"] == 150
    assert asked.bound["input"] == len(
        json.dumps(asked.chat.body | {"stream_options": {"include_usage": True}}, separators=(",", ":"))
    )
    assert answer().bound["output"] == ASSUMED_OUTPUT


class TestFailures:
    @pytest.mark.parametrize(
        ("upstream", "status", "code"),
        [
            (400, 400, "upstream_refused"),
            (404, 400, "upstream_refused"),
            (401, 502, "upstream_failed"),
            (403, 502, "upstream_failed"),
            (302, 502, "upstream_failed"),
            (429, 503, "unavailable"),
            (503, 503, "unavailable"),
            (500, 502, "upstream_failed"),
        ],
    )
    @pytest.mark.parametrize("stream", [True, False])
    def test_a_refusal_is_told_in_our_words(
        self,
        model_server: ModelServer,
        caplog: pytest.LogCaptureFixture,
        stream: bool,
        upstream: int,
        status: int,
        code: str,
    ) -> None:
        asked = answer(stream, status=str(upstream))
        with caplog.at_level(logging.DEBUG), pytest.raises(AnswerFailed) as failed:
            list(asked.events()) if stream else asked.whole()
        assert (failed.value.status, failed.value.code) == (status, code)
        for told in (str(failed.value), caplog.text):
            assert KEY not in told and SECRET not in told
        assert asked.reported is None

    @pytest.mark.parametrize("how", ["die_after", "end_after", "error_after"])
    def test_one_that_breaks_off_has_failed(
        self, model_server: ModelServer, caplog: pytest.LogCaptureFixture, how: str
    ) -> None:
        asked = answer(**{"words": "9", how: "4"})
        count, failed = taken(asked)
        assert failed is not None
        assert (count, failed.status, failed.code, asked.reported) == (4, 502, "upstream_failed", None)
        assert asked.seen["output"] == 6
        assert SECRET not in str(failed) + caplog.text

    @pytest.mark.parametrize("stream", [True, False])
    def test_silence_has_an_end(self, model_server: ModelServer, settings: Any, stream: bool) -> None:
        settings.AGENT_UPSTREAM_SECONDS = 1
        asked = answer(stream, silent_ms="3000")
        with pytest.raises(AnswerFailed) as failed:
            list(asked.events()) if stream else asked.whole()
        assert (failed.value.status, failed.value.code) == (504, "upstream_timeout")

    def test_nobody_there(self, model_server: ModelServer, settings: Any) -> None:
        settings.AGENT_UPSTREAM_URL = "http://127.0.0.1:9/v1"
        count, failed = taken(answer())
        assert failed is not None
        assert (count, failed.status) == (0, 502)

    @pytest.mark.parametrize("stream", [True, False])
    def test_a_page_is_no_answer(self, model_server: ModelServer, stream: bool) -> None:
        asked = answer(stream, html="1")
        with pytest.raises(AnswerFailed) as failed:
            list(asked.events()) if stream else asked.whole()
        assert (failed.value.status, failed.value.code) == (502, "upstream_failed")

    def test_who_sends_no_stream_has_failed(self, model_server: ModelServer) -> None:
        asked = answer(stream=False)
        with pytest.raises(AnswerFailed):
            list(asked.events())

    def test_too_large_an_answer(self, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("billing_site.agent.upstream.LARGEST_ANSWER", 100)
        with pytest.raises(AnswerFailed):
            answer(stream=False, words="50").whole()

    def test_one_that_never_ends(self, model_server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("billing_site.agent.upstream.LONGEST_STREAM_SECONDS", 0)
        _, failed = taken(answer(words="50", ms="20"))
        assert failed is not None
        assert failed.code == "upstream_timeout"
