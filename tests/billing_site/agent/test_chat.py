"""What a chat request may hold, as far as it decides what an answer costs."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.exceptions import ValidationError

from billing_site.agent.chat import read_chat

HELLO: dict[str, Any] = {"model": "m-small", "messages": [{"role": "user", "content": "Hello"}]}


def test_what_is_left_out_has_the_defaults_of_the_protocol() -> None:
    chat = read_chat(HELLO)
    assert (chat.model, chat.texts, chat.last) == ("m-small", ("Hello",), "Hello")
    assert (chat.most_output, chat.answers, chat.streams, chat.wants_usage) == (None, 1, False, False)


def test_the_newer_name_of_the_limit_goes_first() -> None:
    assert read_chat(HELLO | {"max_tokens": 5}).most_output == 5
    assert read_chat(HELLO | {"max_tokens": 5, "max_completion_tokens": 6}).most_output == 6


def test_parts_of_a_message_are_text_or_count_as_written() -> None:
    parts = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    messages = [{"role": "assistant", "content": None}, {"role": "user", "content": parts}]
    assert read_chat(HELLO | {"messages": messages}).texts == (
        "",
        'See {"type": "image_url", "image_url": {"url": "data:"}}',
    )


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("model", None),
        ("model", ""),
        ("model", 7),
        ("model", "m" * 101),
        ("messages", None),
        ("messages", []),
        ("messages", "Hello"),
        ("messages", ["Hello"]),
        ("messages", [{"content": "Hello"}]),
        ("messages", [{"role": 1}]),
        ("max_tokens", 0),
        ("max_tokens", -1),
        ("max_tokens", "5"),
        ("max_tokens", 1.5),
        ("max_tokens", True),
        ("max_completion_tokens", 10**7),
        ("n", 0),
        ("n", 9),
        ("stream", 1),
        ("stream", "true"),
        ("stream_options", []),
    ],
)
def test_anything_else_is_refused_by_its_name(member: str, value: Any) -> None:
    with pytest.raises(ValidationError) as refused:
        read_chat(HELLO | {member: value})
    assert list(refused.value.detail) == [member]
