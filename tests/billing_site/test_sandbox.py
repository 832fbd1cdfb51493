"""The sandbox: echo, fail and wait, as asked in the body or the query."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.cast import Customer
from tests.contract import problem

pytestmark = pytest.mark.django_db
PATHS = {
    "trace/start": 10,
    "trace/expand": 5,
    "graph/nodes": 3,
    "patterns/detect": 8,
    "agent/query": 5,
    "risk/score": 2,
    "wallet-scanner/scan": 7,
    "reports/generate": 4,
}


@pytest.mark.parametrize(("path", "cost"), PATHS.items())
def test_there_is_one_at_every_default_path(dave: Customer, path: str, cost: int) -> None:
    for response in (dave.api.get(f"/api/v1/{path}?a=1"), dave.post(f"/api/v1/{path}", {"a": "1"})):
        assert (response.status_code, response["X-Usage-Cost"]) == (200, str(cost))
        assert (response.json()["path"], response.json()["input"]) == (f"/api/v1/{path}", {"a": "1"})


def test_it_echoes_what_it_was_sent(bob: Customer) -> None:
    sent = {"text": "ä\u2028\x00", "deep": [[{"a": None}]], "number": 1.5, "large": 10**30}
    assert bob.post("/api/v1/trace/start?q=1", sent).json()["input"] == {"q": "1", **sent}
    assert bob.api.generic("POST", "/api/v1/trace/start", content_type="application/json").json()["input"] == {}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 499, 500, 503, 599])
def test_it_fails_with_the_status_it_is_asked_for(bob: Customer, status: int) -> None:
    for response in (
        bob.api.get(f"/api/v1/risk/score?fail={status}"),
        bob.post("/api/v1/risk/score", {"fail": status}),
        bob.post("/api/v1/risk/score", {"fail": str(status)}),
    ):
        assert (response.status_code, response["X-Usage-Cost"]) == (status, "0")
        assert response["Content-Type"] == "application/problem+json"
        assert response.json()["status"] == status


@pytest.mark.parametrize("fail", ["399", "600", "-1", "abc", "5e2", "", "４００", "1" * 5000])
def test_any_other_wish_is_refused(bob: Customer, fail: str) -> None:
    for response in (bob.api.get("/api/v1/risk/score", {"fail": fail}), bob.post("/api/v1/risk/score", {"fail": fail})):
        assert list(problem(response, 400, "invalid", {"errors"})["errors"]) == ["fail"]


@pytest.mark.parametrize("fail", [None, True, [], {}, 500.5, [500]])
def test_or_of_another_type(bob: Customer, fail: Any) -> None:
    problem(bob.post("/api/v1/risk/score", {"fail": fail}), 400, "invalid", {"errors"})


def test_it_waits(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    for given, status in ((50, 200), (10_000, 200), (10_001, 400), (-1, 400), (0, 200)):
        assert bob.post("/api/v1/risk/score", {"sleep_ms": given}).status_code == status
    assert slept == [0.05, 10]


@pytest.mark.parametrize(
    ("sandbox", "views"), [("0", ["NoSuchPath", "NoSuchPath"]), ("1", ["SandboxView", "AgentView"])]
)
def test_without_the_setting_there_is_none(sandbox: str, views: list[str]) -> None:
    code = (
        "import sys, django; django.setup();"
        "from django.urls import resolve;"
        "print(*[resolve('/api/v1/' + path).func.cls.__name__ for path in sys.argv[1:]])"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "billing_site.settings", "SECRET_KEY": "x", "SANDBOX": sandbox}
    done = subprocess.run(
        [sys.executable, "-c", code, "trace/start", "agent/query"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == views, done.stderr
