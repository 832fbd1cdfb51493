"""A WSGI application of a few lines, for tests of the worker that serves it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

LARGE = 20_000_000
WAIT_SECONDS = 30
released = threading.Event()


def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Echo; `/stream` waits in its middle until `/release` is called, `/large` is more than any buffer holds."""
    path = environ["PATH_INFO"]
    if path == "/release":
        released.set()
    elif path in ("/stream", "/large"):
        start("200 OK", [("Content-Type", "text/plain")] + [("Content-Length", str(LARGE))] * (path == "/large"))
        return _stream() if path == "/stream" else (b"x" * 50_000 for _ in range(LARGE // 50_000))
    names = ("REQUEST_METHOD", "RAW_URI", "PATH_INFO", "REMOTE_ADDR", "HTTP_X_FORWARDED_FOR", "wsgi.url_scheme")
    body = json.dumps(
        {name: environ.get(name) for name in names} | {"body": environ["wsgi.input"].read().decode()}
    ).encode()
    start("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def _stream() -> Iterator[bytes]:
    yield b"first"
    released.wait(WAIT_SECONDS)
    yield b"last"
