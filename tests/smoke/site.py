"""The site under test, as its clients see it. Follows no redirects, and waits once where the minute is used up."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Any, Final
from urllib.parse import urlsplit

TIMEOUT_SECONDS: Final = 15
LONGEST_WAIT_SECONDS: Final = 61


class Failed(Exception):
    """What is not as it should be, in one line."""


class Skipped(Exception):
    """Why it could not be looked at; nothing is wrong with the site by that."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            raise Failed(f"{self.status} without JSON: {self.body[:80]!r}") from None

    @property
    def code(self) -> str:
        """Of a problem; "" of another answer."""
        is_problem = self.headers.get_content_type() == "application/problem+json"
        return str(self.json.get("code", "")) if is_problem else ""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class Site:
    def __init__(self, base: str, key: str) -> None:
        parts = urlsplit(base)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path not in ("", "/"):
            raise SystemExit("BASE is where the site is, such as https://api.example.com")
        self.base, self.key = f"{parts.scheme}://{parts.netloc}", key
        self.is_https = parts.scheme == "https"
        self._opener = urllib.request.build_opener(_NoRedirects, urllib.request.ProxyHandler({}))

    def ask(
        self, path: str, body: Any = None, *, key: str | None = "", method: str = "", wait: bool = True, **headers: str
    ) -> Answer:
        """The answer; `key` None sends none, "" sends the one that was given. Raises Failed where none comes."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent.setdefault("User-Agent", "smoke")
        if key is not None:
            sent["Authorization"] = f"Bearer {key or self.key}"
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        request = urllib.request.Request(f"{self.base}{path}", data, sent, method=method or None)
        answer = self._send(request)
        if wait and answer.status == 429 and answer.code == "rate_limited":
            seconds = int(answer.headers.get("Retry-After", LONGEST_WAIT_SECONDS + 1))
            if seconds <= LONGEST_WAIT_SECONDS:
                time.sleep(seconds)
                return self._send(request)
        return answer

    def _send(self, request: urllib.request.Request) -> Answer:
        began = time.perf_counter()
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                status, headers, body = response.status, response.headers, response.read()
        except urllib.error.HTTPError as error:
            with error:
                status, headers, body = error.code, error.headers, error.read()
        except OSError as error:
            raise Failed(f"no answer: {getattr(error, 'reason', error)}") from None
        return Answer(status, headers, body, time.perf_counter() - began)


def expect(answer: Answer, status: int, code: str = "") -> Answer:
    """The answer, if it is that. Raises Failed."""
    if answer.status != status or (code and answer.code != code):
        said = f"{answer.status} {answer.code}".strip()
        raise Failed(
            f"{said} where {f'{status} {code}'.strip()} should come: {answer.body[:120].decode(errors='replace')}"
        )
    return answer


def has(found: Any, *names: str) -> None:
    """Raises Failed where a member is missing."""
    missing = [name for name in names if not isinstance(found, dict) or name not in found]
    if missing:
        raise Failed(f"no {', '.join(missing)} in the answer")
