"""A page of another origin calls the API with a key, in a real browser, and does what CORS lets it and no more."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from django.conf import settings
from django.db import connection

from billing_site.library_settings import CORS
from billing_site.openapi.document import document
from tests.cast import Customer
from tests.journeys.chromium import playwright_browser
from tests.journeys.server import Server, forget_catalogues, running

__all__ = ["playwright_browser"]
pytestmark = pytest.mark.django_db(transaction=True)
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key"}
ASKS = """async ([address, options]) => {
  try {
    const response = await fetch(address, options);
    return { status: response.status, body: await response.text(), headers: Object.fromEntries(response.headers) };
  } catch (error) {
    return { status: 0, body: String(error), headers: {} };
  }
}"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of an app of somebody else's: an empty page."""
    folder: Path = tmp_path_factory.mktemp("app")
    (folder / "index.html").write_text('<!doctype html><title>app</title><link rel="icon" href="data:,">')
    app = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    threading.Thread(target=app.serve_forever).start()
    yield f"http://localhost:{app.server_address[1]}"
    app.shutdown()
    app.server_close()


@pytest.fixture(scope="module")
def open_server(django_db_setup: None, django_db_blocker: Any, elsewhere: str) -> Iterator[Server]:
    with django_db_blocker.unblock():
        database = connection.settings_dict["NAME"]
    with running(database, CORS_ALLOWED_ORIGINS=f"https://app.example,{elsewhere}") as server:
        yield server


@pytest.fixture
def site(open_server: Server, catalogue: None) -> Server:
    forget_catalogues()
    return open_server


def fetch(browser: tuple[ThreadPoolExecutor, Any], page: str, address: str, **options: Any) -> dict[str, Any]:
    """What a script of the page gets."""

    def work() -> dict[str, Any]:
        context = browser[1].new_context()
        try:
            tab = context.new_page()
            tab.goto(page)
            answer: dict[str, Any] = tab.evaluate(ASKS, [address, options])
            return answer
        finally:
            context.close()

    return browser[0].submit(work).result()


def by(customer: Customer, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {customer.key}"} | more


class TestInABrowser:
    def test_a_call_is_charged_and_its_headers_are_read(
        self, playwright_browser: Any, site: Server, elsewhere: str, alice: Customer
    ) -> None:
        headers = by(alice, **{"Content-Type": "application/json", "Idempotency-Key": "k-1", "Usage-Run": "r-1"})
        asked = {"method": "POST", "headers": headers, "body": "{}"}
        answer = fetch(playwright_browser, elsewhere, f"{site.url}/api/v1/trace/start", **asked)
        assert answer["status"] == 200, answer
        told = answer["headers"]
        assert told["x-usage-cost"] == "10" and told["x-usage-event"]
        assert told["ratelimit"].startswith('"minute";r=9;t=60, "quota";r=90;'), "the preflight is not counted"
        again = fetch(playwright_browser, elsewhere, f"{site.url}/api/v1/trace/start", **asked)
        assert again["headers"]["idempotency-replayed"] == "true"

    def test_a_refusal_is_read_as_well(self, playwright_browser: Any, site: Server, elsewhere: str) -> None:
        address = f"{site.url}/api/v1/usage/current"
        answer = fetch(playwright_browser, elsewhere, address, headers={"Authorization": "Bearer nonsense"})
        assert answer["status"] == 401
        assert json.loads(answer["body"])["reason"] == "unknown"

    def test_a_page_of_an_origin_that_is_not_named_reads_nothing(
        self, playwright_browser: Any, site: Server, elsewhere: str, alice: Customer
    ) -> None:
        stranger = elsewhere.replace("localhost", "127.0.0.1")
        answer = fetch(playwright_browser, stranger, f"{site.url}/api/v1/usage/current", headers=by(alice))
        assert (answer["status"], answer["headers"]) == (0, {})

    @pytest.mark.parametrize("path", ["/admin/login/", "/dashboard/", "/accounts/login/", "/health", "/"])
    def test_pages_are_read_by_nobody(self, playwright_browser: Any, site: Server, elsewhere: str, path: str) -> None:
        assert fetch(playwright_browser, elsewhere, f"{site.url}{path}")["status"] == 0

    def test_nobody_acts_by_a_session(self, playwright_browser: Any, site: Server, elsewhere: str) -> None:
        address = f"{site.url}/api/v1/plans"
        assert fetch(playwright_browser, elsewhere, address)["status"] == 200
        assert fetch(playwright_browser, elsewhere, address, credentials="include")["status"] == 0


def test_a_preflight_needs_no_key_and_counts_nothing(site: Server, elsewhere: str, alice: Customer) -> None:
    session = site.session()
    for _ in range(20):  # more than alice has in a minute
        answer = session.options(
            f"{site.url}/api/v1/trace/start", headers={"Origin": elsewhere} | PREFLIGHT, timeout=60
        )
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == elsewhere
        assert "access-control-allow-credentials" not in answer.headers
        assert "origin" in answer.headers["Vary"].lower()
    asked = requests.get(f"{site.url}/api/v1/usage/current", headers=by(alice), timeout=60)
    assert asked.headers["RateLimit"].startswith('"minute";r=9;t=60, "quota";r=100;')


def test_a_preflight_of_another_origin_is_told_nothing(site: Server) -> None:
    for origin in ("https://evil.example", "null", "https://app.example.evil.example", "http://app.example"):
        headers = {"Origin": origin} | PREFLIGHT
        answer = requests.options(f"{site.url}/api/v1/trace/start", headers=headers, timeout=60)
        assert "Access-Control-Allow-Origin" not in answer.headers, origin


@pytest.mark.parametrize("path", ["", "/", "/api/v1/trace/start"])
def test_at_the_door_of_proxies_a_preflight_is_the_doors_business(site: Server, elsewhere: str, path: str) -> None:
    """A proxy that asks by its client's method takes 200 for "serve it"."""
    for headers in ({}, {"X-HTTP-Method-Override": "POST"}):
        asked = {"Origin": elsewhere} | PREFLIGHT | headers
        address = f"{site.url}/api/v1/usage/authorize{quote(path)}"
        answer = requests.options(address, headers=asked, timeout=60)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_every_header_of_the_document_can_be_read() -> None:
    headers = document()["components"]["headers"]
    assert set(CORS["CORS_EXPOSE_HEADERS"]) == set(headers)


def test_every_header_that_operations_take_can_be_sent() -> None:
    taken = {
        parameter["name"].lower()
        for path, methods in document()["paths"].items()
        if not path.endswith("/authorize")  # proxies ask it, no pages
        for operation in methods.values()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "header"
    }
    assert taken | {"authorization", "content-type"} <= set(CORS["CORS_ALLOW_HEADERS"])


def test_while_it_is_off_nothing_of_it_is_there(server: Server, alice: Customer) -> None:
    assert "corsheaders.middleware.CorsMiddleware" not in settings.MIDDLEWARE
    assert "corsheaders" not in settings.INSTALLED_APPS
    headers = by(alice, Origin="https://app.example")
    answer = requests.get(f"{server.url}/api/v1/usage/current", headers=headers, timeout=60)
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    asked = requests.options(
        f"{server.url}/api/v1/trace/start", headers={"Origin": "https://a.b"} | PREFLIGHT, timeout=60
    )
    assert asked.status_code == 401
