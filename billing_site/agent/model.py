"""A small model of our own, so that an agent can be tried without a provider: it knows no network and no chance.

A unit is a word. It answers with the words of the last message, again and again until it has as many as it is told,
and counts the words of all messages as input and each word that it has sent as output.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, Final

from rest_framework.exceptions import ValidationError

from billing.rules.tokens.model_prices import Units
from billing_site.agent.answer import AnswerFailed
from billing_site.agent.chat import Chat, whole
from billing_site.agent.events import DONE, event_of
from billing_site.agent.usage_block import block_of

MOST_CHUNKS: Final = 1_000
LONGEST_WAIT_MS: Final = 1_000
LONGEST_ANSWER_MS: Final = 60_000
USAGE, NOTHING, ZERO = "usage", "nothing", "zero"
WISHES: Final[dict[str, Any]] = {
    "chunks": {"type": "integer", "minimum": 1, "maximum": MOST_CHUNKS},
    "chunk_ms": {"type": "integer", "minimum": 0, "maximum": LONGEST_WAIT_MS},
    "stop_after": {"type": "integer", "minimum": 0, "maximum": MOST_CHUNKS},
    "fail_after": {"type": "integer", "minimum": 0, "maximum": MOST_CHUNKS},
    "report": {"type": "string", "enum": [USAGE, NOTHING, ZERO]},
}
"""What the body may tell it, as JSON schemas: how many words, how slowly, after how many to stop or to fail, and what
to report of its use."""


@dataclass(frozen=True, slots=True)
class Wishes:
    chunks: int | None
    chunk_ms: int
    stop_after: int | None
    fail_after: int | None
    report: str


def read_wishes(body: dict[str, Any]) -> Wishes:
    """Raises ValidationError, which names the member."""
    found = {
        name: whole(body, name, schema["minimum"], schema["maximum"])
        for name, schema in WISHES.items()
        if name != "report"
    }
    report = USAGE if body.get("report") is None else body["report"]
    if report not in (USAGE, NOTHING, ZERO):
        raise ValidationError({"report": [f"Give one of {USAGE}, {NOTHING}, {ZERO}."]})
    wishes = Wishes(found["chunks"], found["chunk_ms"] or 0, found["stop_after"], found["fail_after"], report)
    if (wishes.chunks or MOST_CHUNKS) * wishes.chunk_ms > LONGEST_ANSWER_MS:
        raise ValidationError(
            {"chunk_ms": [f"All chunks together may take {LONGEST_ANSWER_MS} ms; say `chunks`, too."]}
        )
    return wishes


class OwnAnswer:
    """The model's `Answer`."""

    def __init__(self, chat: Chat, *, name: str, created: int) -> None:
        """`name` is the answer's id, `created` its instant in Unix seconds. Raises ValidationError."""
        self.chat = chat
        self.wishes = read_wishes(chat.body)
        self._head = {"id": name, "created": created, "model": chat.model}
        self._input = sum(len(text.split()) for text in chat.texts)
        self._words: tuple[str, ...] = ()
        self._finish = "stop"
        self._sent = 0
        self.say(())

    def say(self, beforehand: Sequence[str]) -> None:
        """Fix the answer; `beforehand` are words that it begins with, such as what tools have found."""
        words = [*beforehand, *(self.chat.last.split() or ["Hello."])]
        wanted = list(islice(cycle(words), self.wishes.chunks or len(words)))
        if self.wishes.stop_after is not None:
            wanted = wanted[: self.wishes.stop_after]
        most = self.chat.most_output or MOST_CHUNKS
        self._words, self._finish = tuple(wanted[:most]), "length" if len(wanted) > most else "stop"

    @property
    def bound(self) -> Units:
        return self._units(self.chat.most_output or MOST_CHUNKS)

    @property
    def seen(self) -> Units:
        return self._units(self._sent)

    @property
    def reported(self) -> Units | None:
        if self.wishes.report == NOTHING:
            return None
        return {"input": 0, "cache_read": 0, "cache_write": 0, "output": 0} if self.wishes.report == ZERO else self.seen

    def events(self) -> Iterator[bytes]:
        yield self._chunk({"role": "assistant", "content": ""})
        for word in self._spoken():
            yield self._chunk({"content": word})
            self._sent += 1  # the event before has been taken, or this line would not be reached
        yield self._chunk({}, self._finish)
        if self.chat.wants_usage and self.reported is not None:
            head = self._head | {"object": "chat.completion.chunk"}
            yield event_of(head | {"choices": [], "usage": block_of(self.reported)})
        yield DONE

    def whole(self) -> bytes:
        content = ""
        for word in self._spoken():
            content += word
            self._sent += 1
        message = {"role": "assistant", "content": content, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": self._finish, "logprobs": None}
        body = self._head | {"object": "chat.completion", "choices": [choice]}
        if self.reported is not None:
            body |= {"usage": block_of(self.reported)}
        return json.dumps(body, ensure_ascii=False).encode()

    def _spoken(self) -> Iterator[str]:
        for position, word in enumerate(self._words):
            if position == self.wishes.fail_after:
                raise AnswerFailed(502, "upstream_failed", "The model failed, as it was asked to.")
            if self.wishes.chunk_ms:
                time.sleep(self.wishes.chunk_ms / 1000)
            yield word if position == 0 else f" {word}"

    def _units(self, output: int) -> Units:
        return {"input": self._input, "cache_read": 0, "cache_write": 0, "output": output}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return event_of(self._head | {"object": "chat.completion.chunk", "choices": [choice]})
