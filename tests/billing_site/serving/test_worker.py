"""The worker serves as gunicorn's own does, on every kind of socket, and its threads never wait for a client."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from billing_site.local.engines.process import wait_until
from billing_site.local.supervisor import Command
from tests.billing_site.serving.app import LARGE
from tests.journeys.server import CHECKOUT
from tests.ports import free_port

UP_SECONDS = 30
HOST = b"Host: localhost\r\n"
LAST = HOST + b"Connection: close\r\n"


@pytest.fixture(scope="module")
def binds() -> Iterator[dict[str, Any]]:
    """Addresses of one worker with two threads, by family."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path, port = f"{folder}/s", free_port()
        argv = [sys.executable, "-m", "gunicorn", "--config", "python:billing_site.gunicorn_config", "--workers", "1"]
        argv += ["--threads", "2", "--graceful-timeout", "1", "--bind", f"unix:{path}"]
        argv += ["--bind", f"127.0.0.1:{port}", "--bind", f"[::1]:{port}", "tests.billing_site.serving.app"]
        command = Command("web", argv, log=Path(folder) / "log", env=os.environ, cwd=CHECKOUT)
        command.start()
        found = {"unix": path, "inet": ("127.0.0.1", port), "inet6": ("::1", port)}
        try:
            wait_until(lambda: _listens(path), UP_SECONDS, "gunicorn does not come up")
            yield found
        finally:
            command.stop()
        assert "Traceback" not in (Path(folder) / "log").read_text()


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def connect(address: Any) -> socket.socket:
    if isinstance(address, str):
        one = socket.socket(socket.AF_UNIX)
        one.connect(address)
    else:
        one = socket.create_connection(address)
    one.settimeout(UP_SECONDS)
    return one


def answers(address: Any, sent: bytes) -> list[tuple[bytes, bytes]]:
    """Heads and bodies of what comes until the server closes."""
    with connect(address) as one:
        one.sendall(sent)
        rest = b"".join(iter(lambda: one.recv(65536), b""))
    found = []
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        size = 0 if sent.startswith(b"HEAD") else int(length.partition(b":")[2])
        found.append((head, rest[:size]))
        rest = rest[size:]
    return found


@pytest.mark.parametrize(("family", "peer"), [("unix", ""), ("inet", "127.0.0.1"), ("inet6", "::1")])
def test_what_the_application_is_told(binds: dict[str, Any], family: str, peer: str) -> None:
    request = b"GET /a%2Fb//c;d?e=%66 HTTP/1.1\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\n" + LAST
    [(head, body)] = answers(binds[family], request + b"\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert json.loads(body) == {
        "REQUEST_METHOD": "GET",
        "RAW_URI": "/a%2Fb//c;d?e=%66",
        "PATH_INFO": "/a/b//c;d",
        "REMOTE_ADDR": peer,
        "HTTP_X_FORWARDED_FOR": "10.0.0.1",
        "wsgi.url_scheme": "https" if family == "unix" else "http",  # gunicorn believes who can open its socket
        "body": "",
    }


def test_requests_in_one_piece_are_answered_in_turn(binds: dict[str, Any]) -> None:
    sent = b"POST /1 HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\nhello"
    sent += b"POST /2 HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nyou\r\n0\r\n\r\n"
    sent += b"GET /3 HTTP/1.1\r\n" + LAST + b"\r\n"
    bodies = [json.loads(body) for _, body in answers(binds["inet"], sent)]
    assert [(told["PATH_INFO"], told["body"]) for told in bodies] == [("/1", "hello"), ("/2", "you"), ("/3", "")]


@pytest.mark.parametrize(
    ("sent", "head"),
    [
        (b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK"),
        (b"HEAD / HTTP/1.1\r\n" + LAST + b"\r\n", b"HTTP/1.1 200 OK"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", b"HTTP/1.1 431 Request Header Fields Too Large"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 10000001\r\n\r\n", b"HTTP/1.1 413 Content Too Large"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 1\r\n\r\n.", b"HTTP/1.1 400 Bad Request"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", b"HTTP/1.1 400 Bad Request"),
        (
            b"POST / HTTP/1.1\r\n" + LAST + b"Expect: x\r\nContent-Length: 1\r\n\r\n.",
            b"HTTP/1.1 417 Expectation Failed",
        ),
    ],
)
def test_one_answer_and_the_end(binds: dict[str, Any], sent: bytes, head: bytes) -> None:
    found = answers(binds["inet"], sent)
    assert [(one.partition(b"\r\n")[0], body != b"") for one, body in found] == [(head, not sent.startswith(b"HEAD"))]


def test_a_large_body_is_read_whole(binds: dict[str, Any]) -> None:
    body = b"y" * 3_000_000
    [(_, told)] = answers(
        binds["inet"], b"POST / HTTP/1.1\r\n" + LAST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    assert json.loads(told)["body"] == body.decode()


def test_clients_that_do_not_read_hold_no_thread(binds: dict[str, Any]) -> None:
    """More of them than threads, each with more to read than any buffer holds."""
    with ExitStack() as opened:
        lazy = [opened.enter_context(connect(binds["inet"])) for _ in range(3)]
        for one in lazy:
            one.sendall(b"GET /large HTTP/1.1\r\n" + LAST + b"\r\n")
            assert one.recv(15, socket.MSG_WAITALL) == b"HTTP/1.1 200 OK"
        assert len(answers(binds["inet"], b"GET / HTTP/1.1\r\n" + LAST + b"\r\n")) == 1
        for one in lazy:
            rest = b"".join(iter(lambda: one.recv(1_000_000), b""))  # noqa: B023  # it is read in this turn
            assert rest.partition(b"\r\n\r\n")[2] == b"x" * LARGE


def test_clients_that_go_leave_nothing_behind(binds: dict[str, Any]) -> None:
    """Whatever they were in the middle of; the log stays quiet, too."""
    for sent in (b"GET /large HTTP/1.1\r\n" + LAST + b"\r\n", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf"):
        for _ in range(5):
            with connect(binds["inet"]) as one:
                one.sendall(sent)
                if b"large" in sent:
                    assert one.recv(15, socket.MSG_WAITALL) == b"HTTP/1.1 200 OK"
    assert len(answers(binds["inet"], b"GET / HTTP/1.1\r\n" + LAST + b"\r\n")) == 1


def test_a_stream_comes_piece_by_piece(binds: dict[str, Any]) -> None:
    """Its first piece is there while the application waits for the client, who has to release it: two threads."""
    with connect(binds["inet"]) as one:
        one.sendall(b"GET /stream HTTP/1.1\r\n" + LAST + b"\r\n")
        came = b""
        while not came.endswith(b"5\r\nfirst\r\n"):
            came += one.recv(1000)
        answers(binds["unix"], b"GET /release HTTP/1.1\r\n" + LAST + b"\r\n")
        assert b"".join(iter(lambda: one.recv(1000), b"")) == b"4\r\nlast\r\n0\r\n\r\n"


def test_a_worker_that_is_stopped_while_it_loads_ends_in_good_order(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "gunicorn", "--config", "python:billing_site.gunicorn_config", "--workers", "1"]
    argv += ["--bind", f"127.0.0.1:{free_port()}", "tests.billing_site.serving.stopped_app"]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=UP_SECONDS, check=False)
    assert done.returncode == 0
    assert "Worker exiting" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout
