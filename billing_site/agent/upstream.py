"""Asks an OpenAI-compatible address (AGENT_UPSTREAM_URL) and hands its answer on.

The caller's body goes there as it is, and nothing else of the request: the key is ours, never logged and never shown.
Of what comes back only answers are handed on. An error is told in our own words, since the upstream's may hold them.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import urllib3
from django.conf import settings
from urllib3.exceptions import HTTPError, ReadTimeoutError

from billing.rules.tokens.model_prices import Units
from billing_site.agent.answer import AnswerFailed
from billing_site.agent.chat import Chat
from billing_site.agent.events import DONE, TooLong, data_of, event_of
from billing_site.agent.usage_block import units_of

logger = logging.getLogger(__name__)
CONNECT_SECONDS: Final = 5
BLOCK: Final = 65_536
LARGEST_ANSWER: Final = 8_388_608
"""Bytes of an answer that is no stream."""
LONGEST_ANSWER_SECONDS: Final = 240
"""Of an answer that is no stream, which prolongs no reservation."""
LONGEST_STREAM_SECONDS: Final = 1_800
ASSUMED_OUTPUT: Final = 1_024
"""Units that are reserved for an answer whose request limits none. A stream that needs more reserves more."""
BYTES_A_UNIT: Final = 4
"""By which use is estimated that nobody has reported."""
REFUSED: Final = (400, 404, 413, 415, 422)
"""The statuses that speak of the request."""
BUSY: Final = (429, 503)


class UpstreamAnswer:
    """The upstream's `Answer`."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self.reported: Units | None = None
        self._body = _encoded(chat.body | ({"stream_options": _with_usage(chat)} if chat.streams else {}))
        self._written = 0
        self._finished = False

    @property
    def bound(self) -> Units:
        """No token of text is shorter than a byte."""
        most = (self.chat.most_output or ASSUMED_OUTPUT) * self.chat.answers
        return {"input": len(self._body), "cache_read": 0, "cache_write": 0, "output": most}

    @property
    def seen(self) -> Units:
        read = sum(len(text.encode()) for text in self.chat.texts)
        return {"input": _about(read), "cache_read": None, "cache_write": None, "output": _about(self._written)}

    def events(self) -> Iterator[bytes]:
        with _asked(self._body) as response:
            if not _is(response, "text/event-stream"):
                raise AnswerFailed(502, "upstream_failed", "The model's provider sent no stream.")
            for data in data_of(_blocks(response, LONGEST_STREAM_SECONDS)):
                if data == b"[DONE]":
                    self._finished = True
                    break
                chunk = _object(data)
                if chunk.get("error"):
                    raise AnswerFailed(502, "upstream_failed", "The model's provider broke off its answer.")
                self.reported = units_of(chunk.get("usage")) or self.reported
                if chunk.get("usage") and not chunk.get("choices") and not self.chat.wants_usage:
                    continue  # we have asked for this one, the caller has not
                yield event_of(chunk)
                self._note(chunk, "delta")
        if not self._finished:
            raise AnswerFailed(502, "upstream_failed", "The model's provider broke off its answer.")
        yield DONE

    def whole(self) -> bytes:
        with _asked(self._body) as response:
            content = bytearray()
            for block in _blocks(response, LONGEST_ANSWER_SECONDS):
                content += block
                if len(content) > LARGEST_ANSWER:
                    raise AnswerFailed(502, "upstream_failed", "The answer of the model's provider is too large.")
            body = _object(bytes(content))
        if not isinstance(body.get("choices"), list):
            raise AnswerFailed(502, "upstream_failed", "The model's provider sent no answer.")
        self.reported = units_of(body.get("usage"))
        self._note(body, "message")
        return bytes(content)

    def _note(self, body: dict[str, Any], member: str) -> None:
        """Count what has been written, of the tools' arguments and the thoughts that are shown, too."""
        choices = body.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            said = choice.get(member) if isinstance(choice, dict) else None
            self._written += _length(said) if isinstance(said, dict) else 0
            self._finished = self._finished or (isinstance(choice, dict) and bool(choice.get("finish_reason")))


@contextmanager
def _asked(body: bytes) -> Iterator[urllib3.BaseHTTPResponse]:
    """The upstream's answer with status 200. Raises AnswerFailed, also for what goes wrong while it is read."""
    silent = settings.AGENT_UPSTREAM_SECONDS
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "metered-api"}
    if settings.AGENT_UPSTREAM_KEY:
        headers["Authorization"] = f"Bearer {settings.AGENT_UPSTREAM_KEY}"
    timeout = urllib3.Timeout(connect=min(CONNECT_SECONDS, silent), read=silent)
    try:
        # A connection each: beside a model's answer it costs nothing, and none is found dead or shared after a fork.
        with urllib3.PoolManager(1, retries=False, timeout=timeout) as pool:
            response = pool.request("POST", _address(), body=body, headers=headers, preload_content=False)
            try:
                if response.status != 200:
                    raise _refusal(response.status)
                yield response
            finally:
                response.close()
    except ReadTimeoutError:
        logger.warning("the agent's upstream is silent for %d seconds", silent)
        raise AnswerFailed(504, "upstream_timeout", "The model's provider does not answer.") from None
    except (HTTPError, TooLong, OSError, ValueError) as error:
        logger.warning("the agent's upstream failed: %s", type(error).__name__)
        raise AnswerFailed(502, "upstream_failed", "The model's provider broke off, or cannot be reached.") from None


def _address() -> str:
    """The setting may be a base URL, as clients call it, or name all of the path."""
    url: str = settings.AGENT_UPSTREAM_URL.rstrip("/")
    return url if "/chat/completions" in url else f"{url}/chat/completions"


def _refusal(status: int) -> AnswerFailed:
    logger.warning("the agent's upstream answers with %d", status)
    if status in REFUSED:
        return AnswerFailed(400, "upstream_refused", f"The model's provider refuses the request, with status {status}.")
    if status in BUSY:
        return AnswerFailed(503, "unavailable", "The model's provider is busy. Try again.")
    return AnswerFailed(502, "upstream_failed", "The model's provider fails.")


def _blocks(response: urllib3.BaseHTTPResponse, longest_seconds: int) -> Iterator[bytes]:
    """What comes, as it comes. Raises AnswerFailed where all of it takes longer than it may."""
    until = time.monotonic() + longest_seconds
    while block := response.read1(BLOCK):
        yield block
        if time.monotonic() > until:
            raise AnswerFailed(504, "upstream_timeout", "The model's provider takes too long.")


def _with_usage(chat: Chat) -> dict[str, Any]:
    return (chat.body.get("stream_options") or {}) | {"include_usage": True}


def _encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _object(data: bytes) -> dict[str, Any]:
    """Raises ValueError."""
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value


def _is(response: urllib3.BaseHTTPResponse, media_type: str) -> bool:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == media_type


def _length(said: Any) -> int:
    """Bytes of all texts within, but for whose they are."""
    if isinstance(said, str):
        return len(said.encode())
    if isinstance(said, dict):
        return sum(_length(value) for name, value in said.items() if name != "role")
    return sum(map(_length, said)) if isinstance(said, list) else 0


def _about(size: int) -> int:
    return -(-size // BYTES_A_UNIT)
