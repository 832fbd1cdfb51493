"""What is asked of the agent: the members of OpenAI's chat completions that decide what an answer may cost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from rest_framework.exceptions import ValidationError

LARGEST_BODY: Final = 262_144
"""Bytes."""
LONGEST_MODEL: Final = 100
MOST_OUTPUT: Final = 1_000_000
"""Units that a request may allow an answer."""
MOST_ANSWERS: Final = 8


@dataclass(frozen=True, slots=True)
class Chat:
    """A request that is well formed as far as it concerns us; `body` is all of it."""

    model: str
    texts: tuple[str, ...]
    """What each message says, in their order."""
    most_output: int | None
    """Units that each of the answers may have; None where the caller has not said."""
    answers: int
    streams: bool
    wants_usage: bool
    """A stream ends with the usage block. An answer that is no stream always has one."""
    body: dict[str, Any]

    @property
    def last(self) -> str:
        return self.texts[-1]


def read_chat(body: dict[str, Any]) -> Chat:
    """Raises ValidationError, which names the member."""
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise ValidationError({"stream_options": ['Give an object, such as {"include_usage": true}.']})
    most = whole(body, "max_completion_tokens", 1, MOST_OUTPUT)
    return Chat(
        model=_model(body.get("model")),
        texts=_texts(body["messages"]),
        most_output=whole(body, "max_tokens", 1, MOST_OUTPUT) if most is None else most,
        answers=whole(body, "n", 1, MOST_ANSWERS) or 1,
        streams=yes(body, "stream", default=False),
        wants_usage=yes(options or {}, "include_usage", default=False),
        body=body,
    )


def whole(body: dict[str, Any], name: str, least: int, most: int) -> int | None:
    """A whole number of the body; None where it is not given. Raises ValidationError."""
    value = body.get(name)
    if value is None:
        return None
    if type(value) is not int or not least <= value <= most:
        raise ValidationError({name: [f"Give a whole number from {least} to {most}."]})
    return value


def yes(body: dict[str, Any], name: str, *, default: bool) -> bool:
    """A boolean of the body. Raises ValidationError."""
    value = body.get(name)
    if value is None:
        return default
    if type(value) is not bool:
        raise ValidationError({name: ["Give true or false."]})
    return value


def _model(model: Any) -> str:
    if not isinstance(model, str) or not 1 <= len(model) <= LONGEST_MODEL:
        raise ValidationError({"model": [f"Name a model, in at most {LONGEST_MODEL} characters."]})
    return model


def _texts(messages: Any) -> tuple[str, ...]:
    if not isinstance(messages, list) or not messages:
        raise ValidationError({"messages": ["Give at least one message."]})
    if not all(isinstance(message, dict) and isinstance(message.get("role"), str) for message in messages):
        raise ValidationError({"messages": ["Each message is an object with a role."]})
    return tuple(_text(message.get("content")) for message in messages)


def _text(content: Any) -> str:
    """Parts that are no text count by how they are written."""
    if content is None or isinstance(content, str):
        return content or ""
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, dict) else None for part in parts]
    return " ".join(
        text if isinstance(text, str) else json.dumps(part) for text, part in zip(texts, parts, strict=True)
    )
