"""Server-sent events as OpenAI's streams have them: `data: {…}` and an empty line each, `data: [DONE]` at the end."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

MEDIA_TYPE: Final = "text/event-stream"
DONE: Final = b"data: [DONE]\n\n"
LONGEST_EVENT: Final = 4_194_304
"""Bytes of an event that is read."""


class TooLong(Exception):
    """An event does not end."""


def event_of(value: Any) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def error_event(code: str, detail: str) -> bytes:
    """What ends a stream that has failed: its status line has gone out long ago. OpenAI's clients raise it."""
    return event_of({"error": {"message": detail, "type": code, "code": code, "param": None}})


def data_of(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The data of each event, of bytes that come in blocks of any size; comments and other fields are left out.

    Raises TooLong. An event that is cut off by the end is none.
    """
    line, data = bytearray(), bytearray()
    for block in blocks:
        *whole, rest = block.replace(b"\r", b"").split(b"\n")
        for part in whole:
            line += part
            if line.startswith(b"data:"):
                data += (b"\n" if data else b"") + line[5:].removeprefix(b" ")
            elif not line and data:
                yield bytes(data)
                data.clear()
            line.clear()
        line += rest
        if len(line) + len(data) > LONGEST_EVENT:
            raise TooLong
