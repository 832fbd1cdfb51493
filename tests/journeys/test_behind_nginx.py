"""The configuration of nginx that docs/nginx.conf gives: what it lets through, and what it keeps off."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from billing_site.local.engines.process import wait_until
from billing_site.local.supervisor import Command
from tests.cast import Customer
from tests.journeys.server import CHECKOUT, Server, forget_catalogues, running
from tests.journeys.test_raw_paths import reached, request
from tests.ports import free_port
from tests.slow_clients import SENT, SlowClients

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian's package nginx)"),
]
EACH = 40
FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@pytest.fixture(scope="module")
def proxied(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server as its clients see it: nginx, with the site behind it."""
    with django_db_blocker.unblock():
        database = connection.settings_dict["NAME"]
    port, folder = free_port(), tmp_path_factory.mktemp("nginx")
    with running(database, BEHIND_PROXY="1", CLIENT_ADDRESS_HEADER="X-Real-IP") as site:
        command = Command("nginx", _argv(folder, port, site.port), log=folder / "log", env=os.environ, cwd=CHECKOUT)
        command.start()
        front = Server(port)
        try:
            wait_until(lambda: _listens(front), 30, "nginx does not come up")
            yield front
        finally:
            command.stop()


def _argv(folder: Path, port: int, behind: int) -> list[str]:
    given = (CHECKOUT / "docs" / "nginx.conf").read_text()
    ours = given.replace("listen 80;", f"listen 127.0.0.1:{port};").replace("127.0.0.1:8000", f"127.0.0.1:{behind}")
    assert ours.count(str(port)) == 1 and ours.count(str(behind)) == 1
    (folder / "site.conf").write_text(ours)
    paths = "".join(f"{name}_temp_path {folder}/{name};\n" for name in FOLDERS)
    head = "user root;\n" if os.geteuid() == 0 else ""
    head += f"daemon off;\npid {folder}/pid;\nevents {{ worker_connections 1024; }}\n"
    (folder / "nginx.conf").write_text(f"{head}http {{\naccess_log off;\n{paths}include {folder}/site.conf;\n}}\n")
    return [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]


def _listens(front: Server) -> bool:
    try:
        front.connect(5).close()
    except OSError:
        return False
    return True


def exchange(front: Server, sent: bytes) -> bytes:
    """What comes until nginx closes; to it, a client that closes its half has gone."""
    with front.connect() as one:
        one.sendall(sent)
        return b"".join(iter(lambda: one.recv(65536), b""))


def test_slow_clients_wait_at_the_proxy(proxied: Server, erin: Customer) -> None:
    forget_catalogues()
    slow = SlowClients(("127.0.0.1", proxied.port), EACH)
    try:
        with proxied.session(erin.key) as session:
            for path in ("/health", "/api/v1/trace/start") * 3:
                assert session.get(f"{proxied.url}{path}", timeout=10).status_code == 200
        assert slow.still_open() == list(SENT), "they were not there while others were served"
    finally:
        slow.close()


def test_what_passes_is_what_the_client_sent(proxied: Server, erin: Customer) -> None:
    forget_catalogues()
    sent = request(erin.key, "POST", "/api/v1/trace/start").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    answer = exchange(proxied, sent + b'8\r\n{"depth"\r\n3\r\n:2}\r\n0\r\n\r\n')
    assert reached(answer) and b'"input":{"depth":2}' in answer
    for target in (
        "/api%2fv1/trace/start",
        "//api/v1/trace/start",
        "/api/v1/trace/%73tart",
        "/api/v1/plans/../trace/start",
    ):
        answer = exchange(proxied, request(erin.key, "GET", target))
        assert answer.startswith(b"HTTP/1.1 ") and (not reached(answer) or b"x-usage-cost: 10\r\n" in answer.lower())
    with proxied.session(erin.key) as session:
        large = session.post(f"{proxied.url}/api/v1/trace/start", data=b"x" * 1_000_001, timeout=30)
        assert large.status_code == 413
