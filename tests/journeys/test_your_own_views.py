"""docs/your-own-views.md and its example, as a reader runs them: a product of its own, served and called over HTTP."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from billing_site import urls as site_urls
from billing_site.local.engines.process import wait_until
from tests.effort import long_only
from tests.hosts import Host, host
from tests.journeys.server import CHECKOUT, UP_SECONDS
from tests.ports import free_port

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = CHECKOUT / "docs" / "your-own-views.md"
PATHS = ".:docs/examples"
SECRET = "in a real product this comes from the environment"
PYTHON = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)


def lines() -> list[str]:
    return [line for block in SHELL for line in block.strip().splitlines()]


@pytest.fixture(scope="module")
def shop(django_db_setup: None, django_db_blocker: Any) -> Iterator[Host]:
    """Made by the page's own lines."""
    assert "export DJANGO_SETTINGS_MODULE=shop.settings" in lines() and f"export PYTHONPATH={PATHS}" in PAGE.read_text()
    with django_db_blocker.unblock(), host("shop", "shop.settings", PYTHONPATH=PATHS) as made:
        for line in lines():
            if line.startswith("python manage.py") and "create_test_users" not in line:
                run(made, line)
        yield made


def run(made: Host, line: str) -> str:
    """A line of the page, with this run's Python."""
    line = f"{sys.executable} {line.removeprefix('python ')}"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=CHECKOUT,
        env=made.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def keys(shop: Host) -> dict[str, str]:
    table = run(shop, "python manage.py create_test_users")
    return {words[1]: words[2] for words in map(str.split, table.splitlines()[1:])}


class Served:
    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, key: str = "", **options: Any) -> requests.Response:
        session = requests.Session()
        session.trust_env = False
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return session.request(method, f"{self.url}{path}", headers=headers, timeout=60, **options)

    def used(self, key: str) -> int:
        return int(self.call("GET", "/api/v1/usage/current", key).json()["tokens_used"])


@contextmanager
def by_uvicorn(made: Host) -> Iterator[Served]:
    port = free_port()
    argv = [sys.executable, "-m", "uvicorn", "billing_site.asgi:application", "--port", str(port)]
    process = subprocess.Popen(
        argv, cwd=CHECKOUT, env=made.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def is_up() -> bool:
        assert process.poll() is None
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(is_up, UP_SECONDS, "uvicorn does not come up")
        yield Served(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module", params=["gunicorn", "uvicorn"])
def served(request: pytest.FixtureRequest, shop: Host, keys: dict[str, str]) -> Iterator[Served]:
    if request.param == "uvicorn":
        with by_uvicorn(shop) as running:
            yield running
    else:
        with shop.serving() as server:
            yield Served(server.url)


@pytest.fixture
def business(keys: dict[str, str]) -> str:
    """Without a quota, and with more requests a minute than these tests make."""
    return keys["business"]


def cost_of(served: Served, key: str, method: str, path: str, **options: Any) -> tuple[int, str | None, int]:
    """Status, what the headers say it cost, and what the counter says."""
    before = served.used(key)
    response = served.call(method, path, key, **options)
    return response.status_code, response.headers.get("X-Usage-Cost"), served.used(key) - before


@pytest.mark.parametrize(
    ("method", "path", "options", "expected"),
    [
        ("GET", "/shop/report", {}, (200, "40", 40)),
        ("HEAD", "/shop/report", {}, (200, "40", 40)),
        ("GET", "/shop/report?broken=1", {}, (500, "0", 0)),
        ("GET", "/shop/search", {}, (200, "2", 2)),
        ("POST", "/shop/quotes", {"json": {"pieces": 3}}, (201, "5", 5)),
        ("POST", "/shop/quotes", {"json": {"pieces": "x"}}, (500, "0", 0)),
        ("POST", "/shop/quotes", {"data": b"{", "json": None}, (415, "0", 0)),
        ("GET", "/shop/quotes", {}, (200, None, 0)),
        ("GET", "/shop/insights", {}, (200, None, 0)),
        ("GET", "//shop/report", {}, (404, None, 0)),
        ("GET", "/shop%2freport", {}, (200, "40", 40)),
        ("GET", "/shop/%72eport", {}, (200, "40", 40)),
        ("GET", "/shop/Report", {}, (404, None, 0)),
    ],
)
def test_what_a_call_costs(
    served: Served, business: str, method: str, path: str, options: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    assert cost_of(served, business, method, path, **options) == expected


def test_who_copies_the_page_or_the_example_has_the_sites_error_pages() -> None:
    """Without them the pages are blank, and a failure below the API is no problem+json."""
    (printed,) = [block for block in PYTHON if "urlpatterns" in block]
    handlers = {name for name in vars(site_urls) if name.startswith("handler")}
    for text in (printed, (PAGE.parent / "examples" / "shop" / "urls.py").read_text()):
        assert handlers == set(re.findall(r"\bsite\.(handler\d+)\b", text))


def test_the_pages_call(served: Served, business: str) -> None:
    (line,) = [line for line in lines() if line.startswith("curl")]
    line = line.replace("http://127.0.0.1:8000", served.url)
    argv = ["bash", "-c", f"no_proxy=* {line}"]
    done = subprocess.run(
        argv, env={**os.environ, "KEY": business}, capture_output=True, text=True, check=True, timeout=60
    )
    assert "200 OK" in done.stdout and "x-usage-cost: 40" in done.stdout.lower()


def test_nobody_is_let_in_without_a_key(served: Served) -> None:
    for method, path in (("GET", "/shop/report"), ("GET", "/shop/search"), ("POST", "/shop/quotes")):
        response = served.call(method, path)
        assert (response.status_code, response.json()["reason"]) == (401, "missing")


def test_above_the_quota_is_429(served: Served, keys: dict[str, str]) -> None:
    answers = [served.call("GET", "/shop/report", keys["community"]) for _ in range(4)]
    assert answers[-1].status_code == 429
    assert (answers[-1].json()["code"], answers[-1].json()["suggested_plan"]) == ("quota_exceeded", "starter")
    assert served.used(keys["community"]) <= 100
    lacking = served.call("GET", "/shop/insights", keys["community"])
    assert (lacking.status_code, lacking.json()["suggested_plan"]) == (403, "pro")
    assert served.call("GET", "/shop/insights", keys["pro"]).json() == {"insight": "buy low, sell high"}


def test_a_token_of_the_shops_own(served: Served, keys: dict[str, str], shop: Host) -> None:
    find = "from billing.users import by_name; print(by_name('pro_user').pk)"
    account = run(shop, f'python manage.py shell -v 0 -c "{find}"')
    good = jwt.encode({"sub": account.strip(), "exp": int(time.time()) + 600}, SECRET, "HS256")
    bad = jwt.encode({"sub": account.strip(), "exp": 1}, SECRET, "HS256")
    response = served.call("GET", "/shop/search", good)
    assert (response.json()["for"], response.headers["X-Usage-Cost"]) == ("pro_user", "2")
    assert served.call("GET", "/shop/search", bad).json()["reason"] == "refused"


@long_only(25, "the example as it is served")
def test_the_example_passes_its_own_tests(shop: Host) -> None:
    own = {name: value for name, value in shop.environment.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    line = next(line for line in lines() if "pytest" in line).removeprefix("python ")
    del own["DJANGO_SETTINGS_MODULE"], own["SECRET_KEY"]
    argv = ["bash", "-c", f"{sys.executable} {line} -q"]
    from billing_site.testing.engines import MARK

    own.pop(MARK, None)
    done = subprocess.run(argv, cwd=CHECKOUT, env=own, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def test_what_the_page_shows_is_in_the_example() -> None:
    """Links lead somewhere, and its settings are the example's or the email users'."""
    text = PAGE.read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (PAGE.parent / link).exists(), link
    shown = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    examples = [CHECKOUT / "docs" / "examples" / "shop" / name for name in ("settings.py", "urls.py", "views.py")]
    theirs = "\n".join(
        Path(file).read_text() for file in (*examples, CHECKOUT / "tests" / "email_users" / "settings.py")
    )
    for line in re.findall(r"^(?:@\w+\(.*\)|def \w+|\w+ = \"shop.*|AUTH.*|ACCOUNT.*|METERED.*)$", shown, re.MULTILINE):
        assert line in theirs, line
