"""Samples are run as they stand: those of every operation, and those of the page for beginners."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from billing_site.openapi.document import document
from billing_site.openapi.samples import EXTENSION
from tests.cast import Customer
from tests.journeys.chromium import Chromium, Tab, chromium, playwright_browser
from tests.journeys.server import Server

__all__ = ["chromium", "playwright_browser"]
pytestmark = pytest.mark.django_db(transaction=True)
NOT_UNDERSTOOD = {"invalid", "not_authenticated", "method_not_allowed", "unsupported_media_type", "internal_error"}
SECONDS = 120


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on PATH")
    return found


def environment(server: Server, customer: Customer) -> dict[str, str]:
    return os.environ | {"BASE": server.url, "KEY": customer.key, "NO_PROXY": "*"}


def run(command: list[str], server: Server, customer: Customer, folder: Path) -> str:
    """What it shows."""
    told = subprocess.run(
        command,
        env=environment(server, customer),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert (told.returncode, told.stderr) == (0, "")
    return told.stdout


def run_python(source: str) -> str:
    """In this process: starting one for each sample would take most of the time."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(compile(source, "sample", "exec"), {})
    return shown.getvalue()


def samples(label: str) -> dict[str, str]:
    """By operation."""
    return {
        operation["operationId"]: sample["source"]
        for methods in document()["paths"].values()
        for operation in methods.values()
        for sample in operation[EXTENSION]
        if sample["label"] == label
    }


def understood(operation: str, shown: str) -> None:
    """Whatever is answered, it is about the request's matter; 404 is about a sample id."""
    status, _, body = shown.strip().partition(" ")
    assert status.isdigit(), (operation, shown)
    if int(status) >= 400:
        problem = json.loads(body or "0")
        code = problem["code"] if isinstance(problem, dict) else "not_found"  # or the length of a file
        assert code not in NOT_UNDERSTOOD, (operation, shown)
        assert "nothing at this path" not in body, (operation, shown)


@pytest.fixture
def caller(server: Server, customer: Callable[..., Customer]) -> Customer:
    return customer("sam", "enterprise", scope="meter")


def test_each_in_curl(server: Server, caller: Customer, tmp_path: Path) -> None:
    program("curl")
    lines = [
        f"printf '%s\\t' {operation}\n" + source.replace("curl ", r"curl -s -w '\t%{http_code}\n' ", 1)
        for operation, source in samples("curl").items()
    ]
    told = run(["bash", "-c", "\n".join(lines)], server, caller, tmp_path)
    answers = [line.split("\t") for line in told.splitlines() if "\t" in line]
    assert len(answers) == len(lines) > 60
    for operation, *body, status in answers:
        understood(operation, f"{status} {''.join(body)}")


def test_each_in_python(server: Server, caller: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(server, caller).items():
        monkeypatch.setenv(name, value)
    for operation, source in samples("Python").items():
        understood(operation, run_python(source))


def test_each_in_javascript(server: Server, caller: Customer, tmp_path: Path) -> None:
    node = program("node")
    runs = []
    for operation, source in samples("JavaScript").items():
        (tmp_path / f"{operation}.mjs").write_text(source)
        runs.append(f'console.log("\\n@{operation}"); await import("./{operation}.mjs");')
    (tmp_path / "all.mjs").write_text("\n".join(runs))
    answers = run([node, "all.mjs"], server, caller, tmp_path).split("\n@")[1:]
    assert len(answers) == len(runs)
    for answer in answers:
        operation, _, shown = answer.partition("\n")
        understood(operation, shown)


# --- The page for beginners


def on_page(server: Server, label: str) -> list[str]:
    page = server.session().get(f"{server.url}/api/docs/start", timeout=60)
    assert page.status_code == 200
    return [unescape(found) for found in re.findall(rf'data-runs="{label}">(.*?)</pre>', page.text, re.DOTALL)]


def test_the_page_tells_this_sites_address(server: Server) -> None:
    page = server.session().get(f"{server.url}/api/docs/start", timeout=60).text
    assert f"export BASE={server.url}" in page
    assert f"<code>{server.url}/api/v1/mcp</code>" in page


def test_its_first_call_is_charged(server: Server, alice: Customer, tmp_path: Path) -> None:
    program("curl")
    (source,) = on_page(server, "curl")
    told = run(["bash", "-c", source.replace("curl ", "curl -si ", 1)], server, alice, tmp_path)
    assert told.startswith("HTTP/1.1 200 OK"), told
    assert re.search(r"^X-Usage-Cost: [1-9]", told, re.MULTILINE)


def test_its_python_waits_as_it_is_told(server: Server, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(server, alice).items():
        monkeypatch.setenv(name, value)
    first, retry = on_page(server, "Python")
    assert run_python(first).startswith("200 ")
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        exec(retry, names)
    assert shown.getvalue().startswith('200 {"allowed":true')
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    assert names["call"]("GET", "/api/v1/risk/score?fail=429", tries=3).status_code == 429
    assert waited == [1, 1, 1]
    assert names["call"]("GET", "/api/v1/risk/score?fail=404").status_code == 404
    assert waited == [1, 1, 1], "nothing says that waiting helps"


def test_its_javascript_runs(server: Server, alice: Customer, tmp_path: Path) -> None:
    node = program("node")
    for number, source in enumerate(on_page(server, "JavaScript")):
        file = tmp_path / f"{number}.mjs"
        file.write_text(source)
        assert run([node, str(file)], server, alice, tmp_path).startswith("200 {")


def test_it_is_for_every_eye_and_screen(chromium: Chromium) -> None:
    def work(tab: Tab) -> list[str]:
        found = []
        for scheme in ("light", "dark"):
            tab.page.emulate_media(color_scheme=scheme)
            tab.open("/api/docs/start")
            tab.page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
            found += tab.faults()
        return found

    assert chromium.browse(None, work) == []


def test_the_interactive_page_shows_the_samples(chromium: Chromium) -> None:
    def work(tab: Tab) -> list[str]:
        tab.open("/api/docs")
        tab.page.get_by_text("/api/v1/usage/current").first.click()
        tab.page.locator(".samples summary", has_text="curl").click()
        tab.page.get_by_text('curl "$BASE/api/v1/usage/current"').wait_for()
        return tab.errors

    assert chromium.browse(None, work) == []
