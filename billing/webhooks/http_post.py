"""One POST: to the address that was judged, without redirects, over within a deadline whatever the receiver does.

The library's timeouts are for each read: a receiver that drips would hold the caller for hours. The look-up of a name
ends when the resolver ends it, and no sooner. So a thread posts, and its caller waits for as long as the deadline lets:
then it shuts the connection, by a second handle that TLS does not take over, and goes on. A thread that still looks a
name up ends with that, and connects to nothing any more.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any, Final

import requests
import urllib3
from django.conf import settings
from requests_hardened import Config, HTTPSession, Manager
from requests_hardened.ip_filter import InvalidIPAddress
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from billing.models.webhooks.deliveries import LONGEST_ANSWER
from billing.webhooks import addresses

SECONDS: Final = 15.0
"""From the look-up of the name to the end of the answer, or of what is read of it."""
USER_AGENT: Final = "Metered-Webhooks/1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a POST: a status, or an error where there is none."""

    status: int | None = None
    error: str = ""
    """`timeout`, `address`, `unknown_host`, `connection`, `tls`, `form` or `secret`; empty where there is a status."""
    text: str = ""
    """How the body began."""
    retry_after: str | None = None
    seconds: float = 0.0

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class _Deadline:
    """Shuts a thread's connections once it has passed."""

    def __init__(self) -> None:
        self._has_passed = False
        self._lock = threading.Lock()
        self._handles: list[socket.socket] = []

    def check(self) -> None:
        """Raises TimeoutError."""
        if self._has_passed:
            raise TimeoutError

    def watch(self, connected: socket.socket) -> None:
        with self._lock:
            handle = connected.dup()
            self._handles.append(handle)
            if self._has_passed:
                _shut(handle)

    def let_pass(self) -> None:
        with self._lock:
            self._has_passed = True
            for handle in self._handles:
                _shut(handle)

    @contextmanager
    def watching(self) -> Iterator[None]:
        _of_thread.deadline = self
        try:
            yield
        finally:
            with self._lock:
                for handle in self._handles:
                    handle.close()
                self._handles.clear()


def _shut(handle: socket.socket) -> None:
    with suppress(OSError):  # the other side was faster
        handle.shutdown(socket.SHUT_RDWR)


_of_thread = threading.local()


class _Watched:
    host: str

    def _new_conn(self) -> socket.socket:
        addresses.judge(self.host)  # an address by now
        _of_thread.deadline.check()
        connected: socket.socket = super()._new_conn()  # type: ignore[misc]
        _of_thread.deadline.watch(connected)
        return connected


class _Http(_Watched, HTTPConnection):
    pass


class _Https(_Watched, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


def post(url: str, body: bytes, headers: Mapping[str, str], seconds: float = SECONDS) -> Answer:
    """Send a body. Never within a transaction. Raises nothing: what goes wrong is in the answer."""
    began, deadline, answers = time.monotonic(), _Deadline(), SimpleQueue[Answer]()

    def work() -> None:
        try:
            with deadline.watching(), _session(seconds) as session:
                addresses.parts_of(url)
                answers.put(_asked(session, url, body, headers))
        except Exception as error:  # whatever a receiver, or its address, makes the libraries raise
            answers.put(Answer(error=_named(error)))

    # A daemon: a look-up that hangs holds no process back from its end.
    threading.Thread(target=work, name="webhook post", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except Empty:
        deadline.let_pass()
        answer = Answer(error="timeout")
    return replace(answer, seconds=time.monotonic() - began)


def _session(seconds: float) -> HTTPSession:
    config = Config(
        ip_filter_enable=True,
        ip_filter_allow_loopback_ips=settings.DEBUG,
        never_redirect=True,
        default_timeout=(seconds, seconds),
        user_agent_override=USER_AGENT,
    )
    session = Manager(config).get_session()
    session.trust_env = False  # a proxy of the environment would look names up by itself; .netrc has passwords
    for scheme in addresses.PORTS:
        pools: Any = session.get_adapter(f"{scheme}://")
        pools.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return session


def _asked(session: HTTPSession, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    with session.post(url, data=body, headers=dict(headers), stream=True) as response:
        began = response.raw.read(LONGEST_ANSWER, decode_content=False)
        text = began.decode(errors="replace").replace("\0", "\ufffd")
        return Answer(response.status_code, "", text, response.headers.get("Retry-After"))


def _named(error: Exception) -> str:
    if isinstance(error, addresses.UrlRefused | requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return "form"
    if isinstance(error, InvalidIPAddress | addresses.NotPublic):
        return "address"
    if isinstance(error, requests.exceptions.SSLError):
        return "tls"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "timeout"
    cause = error.__cause__
    return "unknown_host" if isinstance(cause, socket.gaierror) else "connection"
