"""The ASGI middleware of the docs before its example app, under uvicorn: asked before, given back after a failure."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from django.db import connection

from billing.models import ApiKey, LimitOverride
from billing_site.local.engines.process import last_line, wait_until
from billing_site.local.supervisor import Command
from tests.cast import Customer, Staff
from tests.contract import left
from tests.journeys.forward_auth.test_proxies import FORGED, _Headers, ask, tokens_of, told
from tests.journeys.server import CHECKOUT, Server, forget_catalogues
from tests.journeys.server import running as running_site
from tests.journeys.test_raw_paths import TARGETS, request
from tests.ports import free_port
from usage.models import UsageLog

pytestmark = pytest.mark.django_db(transaction=True)
EXAMPLE = CHECKOUT / "docs" / "integrations" / "fastapi"
MORE_THAN_IS_WAITED_FOR = 100_000
"""Parts of a stream that comes for hours: who holds it until its end shows nothing of it."""
START, EXPAND = "/api/v1/trace/start", "/api/v1/trace/expand"


@pytest.fixture(scope="module")
def site(django_db_setup: None, django_db_blocker: Any) -> Iterator[Server]:
    with django_db_blocker.unblock():
        database = connection.settings_dict["NAME"]
    with running_site(database, TRUSTED_PROXIES="127.0.0.1") as site:
        yield site


@contextmanager
def product(site_port: int, key: str, folder: Path, seconds: float = 20) -> Iterator[Server]:
    """The example app, as its page starts it."""
    port, log = free_port(), folder / "uvicorn.log"
    ours = {
        "BILLING_SITE": f"http://127.0.0.1:{site_port}",
        "BILLING_KEY": key,
        "BILLING_SECONDS": str(seconds),
    }
    argv = [sys.executable, "-m", "uvicorn", "example:app", "--host", "127.0.0.1", "--port", str(port)]
    command = Command("uvicorn", argv, log=log, env=os.environ | ours, cwd=EXAMPLE)
    command.start()
    server = Server(port)

    def answers() -> bool:
        assert command.process is not None and command.process.poll() is None, last_line(log)
        try:
            return requests.get(f"{server.url}/", timeout=30).status_code in (401, 503)
        except requests.ConnectionError:
            return False

    try:
        wait_until(answers, 60, "the example app does not come up")
        yield server
    finally:
        command.stop()


@pytest.fixture
def app(site: Server, superuser: Staff, catalogue: None, tmp_path: Path) -> Iterator[Server]:
    forget_catalogues()
    _, key = ApiKey.issue(account=superuser.user, name="product", scope="meter")
    with product(site.port, key, tmp_path) as app:
        yield app


def test_served_refused_and_told(app: Server, alice: Customer, bob: Customer) -> None:
    answer = ask(app, f"{START}?depth=2", bob.key, "POST", data=b"x" * 100_000, headers=FORGED)
    assert answer.json() == {"account": str(bob.account), "plan": "starter", "bytes": 100_000}
    assert left(_Headers(answer)) == {"minute": 29, "quota": 490} and answer.headers["X-Usage-Cost"] == "10"
    assert tokens_of(bob) == {answer.headers["X-Usage-Event"]: 10}
    nobody = ask(app, START)
    assert told(nobody, 401)["reason"] == "missing" and nobody.headers["WWW-Authenticate"] == "Bearer"
    assert told(ask(app, "/api/v1/agent/query", bob.key), 403)["feature"] == "ai_agent_query"
    LimitOverride.objects.create(account=alice.user, limit="minute", maximum=1)
    assert ask(app, "/elsewhere", alice.key).status_code == 404
    full = ask(app, START, alice.key, "POST")
    assert told(full, 429)["code"] == "rate_limited" and int(full.headers["Retry-After"]) > 0
    assert tokens_of(alice) == {}


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_a_failure_is_given_back(app: Server, bob: Customer, status: int) -> None:
    answer = ask(app, f"{EXPAND}?status={status}", bob.key)
    assert answer.status_code == status
    assert status == 500 or answer.headers["X-Usage-Cost"] == "0"
    wait_until(lambda: list(tokens_of(bob).values()) == [0], 20, "it is not given back")
    assert ask(app, EXPAND, bob.key).status_code == 200
    assert sorted(tokens_of(bob).values()) == [0, 5]


def test_who_leaves_before_the_answer_pays_nothing(app: Server, bob: Customer) -> None:
    with app.connect() as client:
        client.sendall(request(bob.key, "GET", "/api/v1/wallet-scanner/scan"))
        wait_until(lambda: list(tokens_of(bob).values()) == [7], 20, "it is not charged")
    wait_until(lambda: list(tokens_of(bob).values()) == [0], 20, "it is not given back")


def test_a_stream_comes_part_by_part_and_is_settled_by_its_status_line(app: Server, bob: Customer) -> None:
    """As at the gateway: else who leaves before its last byte would have it for nothing."""
    with app.session(bob.key) as session:
        whole = session.get(f"{app.url}/api/v1/reports/generate?parts=4", timeout=20)
    assert whole.content == b"part 0\npart 1\npart 2\npart 3\n"
    with app.connect() as client:
        client.sendall(request(bob.key, "GET", f"/api/v1/reports/generate?parts={MORE_THAN_IS_WAITED_FOR}"))
        came = b""
        while b"part 1\n" not in came:
            came += client.recv(65536) or pytest.fail("it ended")
    assert b" 200 OK" in came
    with app.session(bob.key) as session, pytest.raises(requests.RequestException):
        _ = session.get(f"{app.url}/api/v1/reports/generate?broken=1", timeout=20).content
    assert ask(app, EXPAND, bob.key).status_code == 200
    assert sorted(tokens_of(bob).values()) == [4, 4, 4, 5]


def test_no_spelling_is_served_uncharged(app: Server, erin: Customer) -> None:
    for target in TARGETS:
        with app.connect() as client:
            client.sendall(request(erin.key, "POST", target))
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert b" 500 " not in answer.partition(b"\r\n")[0], (target, answer)
        if b'"plan"' in answer:
            assert b"x-usage-cost: 10" in answer.lower(), target


def test_a_site_that_does_not_answer_serves_nobody(bob: Customer, tmp_path: Path) -> None:
    with product(free_port(), "", tmp_path) as app:
        down = ask(app, START, bob.key, "POST")
        assert told(down, 503)["code"] == "unavailable" and down.headers["Retry-After"] == "1"
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        product(silent.getsockname()[1], "", tmp_path, seconds=0.3) as app,
    ):
        assert told(ask(app, START, bob.key, "POST"), 503)["code"] == "unavailable"
    assert not UsageLog.objects.exists()


def test_what_cannot_be_given_back_is_logged(site: Server, bob: Customer, tmp_path: Path) -> None:
    forget_catalogues()
    with product(site.port, "wrong", tmp_path) as app:
        assert ask(app, f"{EXPAND}?status=404", bob.key).status_code == 404
        (event,) = tokens_of(bob)
        log = tmp_path / "uvicorn.log"
        wait_until(lambda: f"charge {event} of account" in log.read_text(), 30, "nothing is said of it")
    assert tokens_of(bob) == {event: 5}
