"""Real proxies before a real product: charged once, refused as by the gateway, and nothing is reached uncharged."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from billing.models import ApiKey, LimitOverride
from tests.cast import Customer
from tests.contract import left
from tests.journeys.forward_auth import proxies
from tests.journeys.forward_auth.proxies import PROXIES, Behind, Proxy, exchange
from tests.journeys.forward_auth.upstream import Upstream, product
from tests.journeys.server import Server, forget_catalogues
from tests.journeys.server import running as running_site
from tests.journeys.test_raw_paths import HEADERS, METHODS, TARGETS, request
from tests.ports import free_port
from usage.drain import drain
from usage.models import UsageLog

pytestmark = pytest.mark.django_db(transaction=True)
START = "/api/v1/trace/start"
OTHER_TARGETS = [
    "/api/v1/plans/../trace/start",
    "/api/v1/trace/start/../../plans",
    "/api/v1/plans/%2e%2e/trace/start",
    "/api/v1/plans/..%2ftrace/start",
    "/api/v1/plans/..;/trace/start",
    "/api/v1/plans/..%5ctrace/start",
    "//evil.example/api/v1/trace/start",
    "/api/v1/trace/start%3fx",
    "/api/v1/trace/start%23x",
    "/elsewhere",
]
FORGED = {
    "X-Account-Id": "1",
    "X-Plan": "enterprise",
    "X-Usage-Event": "00000000-0000-7000-8000-000000000000",
    "X-Original-Method": "OPTIONS",
    "X-Original-URI": "/api/v1/plans",
    "X-Original-URL": "/api/v1/plans",
    "X-Rewrite-URL": "/api/v1/plans",
    "X-Forwarded-Method": "OPTIONS",
    "X-Forwarded-Uri": "/api/v1/plans",
    "X-Forwarded-For": "127.0.0.1",
    "X-Real-IP": "127.0.0.1",
    "X-Refusal-Status": "200",
}


@pytest.fixture(scope="module")
def site(django_db_setup: None, django_db_blocker: Any) -> Iterator[Server]:
    with django_db_blocker.unblock():
        database = connection.settings_dict["NAME"]
    with running_site(database, TRUSTED_PROXIES="127.0.0.1/32", SITE_URL="https://billing.example") as site:
        yield site


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with product() as upstream:
        yield upstream


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request: pytest.FixtureRequest) -> Proxy:
    proxy = PROXIES[request.param]
    if proxy.program is None:
        pytest.skip(f"{proxy.name} is not installed ({proxy.from_where})")
    return proxy


@pytest.fixture(scope="module")
def fronted(
    proxy: Proxy, site: Server, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(proxy.name)
    with proxies.running(proxy, folder, Behind(site.port, upstream.port, "unused")) as front:
        yield front


@pytest.fixture
def front(fronted: Server, upstream: Upstream, catalogue: None) -> Server:
    forget_catalogues()
    upstream.seen.clear()
    return fronted


def operators_key() -> str:
    user = get_user_model().objects.create_user("olga")
    return ApiKey.issue(account=user, name="proxy", scope="meter")[1]


def ask(front: Server, path: str, key: str = "", method: str = "GET", **sent: Any) -> Any:
    with front.session(key) as session:
        answer = session.request(method, f"{front.url}{path}", timeout=30, **sent)
    return answer


def tokens_of(customer: Customer) -> dict[str, int]:
    """Of each charge of the customer's, what is left of it."""
    drain.drain()
    tokens: dict[str, int] = {}
    for row in UsageLog.objects.filter(account=customer.account):
        tokens[str(row.event_id)] = tokens.get(str(row.event_id), 0) + row.tokens
    return tokens


def test_a_call_is_charged_once_and_the_product_is_told_whose_it_is(
    front: Server, proxy: Proxy, upstream: Upstream, bob: Customer
) -> None:
    body = b"0123456789" * 20_000
    answer = ask(front, f"{START}/7?depth=2", bob.key, "POST", data=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"served": f"{START}/7?depth=2", "bytes": len(body)}
    (seen,) = upstream.seen
    assert (seen.method, seen.headers["x-account-id"], seen.headers["x-plan"]) == ("POST", str(bob.account), "starter")
    assert tokens_of(bob) == {seen.headers["x-usage-event"]: 10}
    assert UsageLog.objects.get().source == "authorize"
    if proxy.tells_limits:
        assert left(_Headers(answer)) == {"minute": 29, "quota": 490}
        assert answer.headers["X-Usage-Event"] == seen.headers["x-usage-event"]
        assert answer.headers["X-Usage-Cost"] == "10"


def test_a_body_in_chunks_reaches_the_product(front: Server, upstream: Upstream, bob: Customer) -> None:
    answer = ask(front, START, bob.key, "POST", data=iter([b"x" * 70_000, b"y" * 70_000]))
    assert (answer.status_code, answer.json()["bytes"]) == (200, 140_000), answer.text
    assert list(tokens_of(bob).values()) == [10]


def test_clients_at_once_get_what_the_quota_has(front: Server, upstream: Upstream, bob: Customer) -> None:
    LimitOverride.objects.create(account=bob.user, limit="quota", maximum=70)
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: ask(front, START, bob.key), range(24)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [429] * 17
    assert len(upstream.seen) == 7 and list(tokens_of(bob).values()) == [10] * 7


def test_a_path_without_a_route_costs_a_request(front: Server, upstream: Upstream, bob: Customer) -> None:
    assert ask(front, "/elsewhere", bob.key).status_code == 200
    assert ask(front, "/elsewhere").status_code == 401
    (seen,) = upstream.seen
    assert seen.headers["x-account-id"] == str(bob.account) and not seen.headers.get("x-usage-event")
    assert tokens_of(bob) == {}


def test_refusals_reach_the_client_as_the_gateway_words_them(
    front: Server, upstream: Upstream, alice: Customer
) -> None:
    nobody = ask(front, START)
    assert told(nobody, 401)["code"] == "not_authenticated" and nobody.headers["WWW-Authenticate"] == "Bearer"
    assert told(ask(front, START, "made.up"), 401)["reason"] == "unknown"
    lacking = told(ask(front, "/api/v1/agent/query", alice.key), 403)
    assert (lacking["code"], lacking["feature"]) == ("feature_not_in_plan", "ai_agent_query")
    assert lacking["upgrade_url"] == "https://billing.example/dashboard/"
    override = LimitOverride.objects.create(account=alice.user, limit="quota", maximum=10)
    assert ask(front, START, alice.key).status_code == 200
    spent = ask(front, START, alice.key)
    assert told(spent, 429)["code"] == "quota_exceeded" and left(_Headers(spent))["quota"] == 0
    override.delete()
    for _ in range(9):
        assert ask(front, "/elsewhere", alice.key).status_code == 200
    full = ask(front, START, alice.key, "POST", data=b"x" * 1000)
    assert told(full, 429)["code"] == "rate_limited"
    assert int(full.headers["Retry-After"]) == full.json()["retry_after"] > 0
    assert len(upstream.seen) == 10 and list(tokens_of(alice).values()) == [10]


def told(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    return problem


def test_what_a_client_forges_is_written_over(front: Server, upstream: Upstream, bob: Customer) -> None:
    for path, cost in ((START, 10), ("/elsewhere", 0)):
        upstream.seen.clear()
        answer = ask(front, path, bob.key, "POST", headers=FORGED)
        assert answer.status_code == 200, answer.text
        (seen,) = upstream.seen
        assert (seen.headers["x-account-id"], seen.headers["x-plan"]) == (str(bob.account), "starter")
        event = seen.headers.get("x-usage-event", "")
        assert tokens_of(bob).get(event, 0) == cost and event != FORGED["X-Usage-Event"]
        assert "/api/v1/plans" not in (seen.headers.get("x-original-url"), seen.headers.get("x-rewrite-url"))
    forged = {name: value for name, value in FORGED.items() if name != "X-Real-IP"}
    assert ask(front, START, headers=forged).status_code == 401


def test_no_spelling_is_served_uncharged(front: Server, upstream: Upstream, erin: Customer) -> None:
    sent = [request(erin.key, "GET", target) for target in TARGETS + OTHER_TARGETS]
    sent += [request(erin.key, "GET", START, header) for header in HEADERS]
    sent += [request(erin.key, method, START) for method in METHODS if method != "CONNECT"]
    with ThreadPoolExecutor(8) as clients:  # Envoy keeps a connection for a second after what it would not read
        answers = [*clients.map(partial(exchange, front), sent)]
    for one, answer in zip(sent, answers, strict=True):
        assert not answer or answer.startswith(b"HTTP/1."), one
        assert b" 500 " not in answer.partition(b"\r\n")[0], (one, answer)
    charged = tokens_of(erin)
    assert len(upstream.seen) >= 20
    for seen in upstream.seen:
        event = seen.headers.get("x-usage-event", "")
        if seen.method != "OPTIONS" and any(is_metered(path) for path in read(seen.target)):
            assert charged.get(event) == 10, seen
        assert not event or charged.pop(event) == 10
    assert not charged, "charged, and never served"


def is_metered(path: str) -> bool:
    segments = [segment for segment in path.lower().split("/") if segment]
    return segments[:4] == START.split("/")[1:]


def read(target: str) -> set[str]:
    """As a product's framework may: PEP 3333, RFC 3986, Node's URL, Go's cleaning, and Java's parameters."""
    path = target.partition("?")[0]
    decoded = unquote(urlsplit(target).path if target.startswith("http") else path)
    without = "/".join(part.partition(";")[0] for part in decoded.split("/"))
    kept = {decoded, posixpath.normpath(decoded), posixpath.normpath(without)}
    return kept | {urlsplit(urljoin("http://product/", target)).path, unquote(urlsplit(target).path)}


@pytest.mark.parametrize("path", [START, "/elsewhere"])
def test_a_product_that_is_down_costs_nothing_where_the_proxy_can_say_so(
    proxy: Proxy, site: Server, bob: Customer, tmp_path: Path, path: str
) -> None:
    forget_catalogues()
    behind = Behind(site.port, free_port(), operators_key())
    with proxies.running(proxy, tmp_path, behind) as front:
        answer = ask(front, path, bob.key, "POST", data=b"x")
    assert answer.status_code in (502, 503), answer.text
    tokens = list(tokens_of(bob).values())
    if proxy.gives_back:
        assert told(answer, 502)["code"] == "upstream_failed"
        assert tokens == ([0] if path == START else [])
    else:
        assert tokens == ([10] if path == START else [])


def test_a_site_that_is_down_serves_nobody(proxy: Proxy, upstream: Upstream, bob: Customer, tmp_path: Path) -> None:
    upstream.seen.clear()
    with proxies.running(proxy, tmp_path, Behind(free_port(), upstream.port, "unused")) as front:
        for key in (bob.key, ""):
            answer = ask(front, START, key, headers=FORGED)
            assert answer.status_code == proxy.undecided, answer.text
    assert not upstream.seen


def test_a_site_that_does_not_believe_the_proxy_serves_nobody(
    proxy: Proxy, server: Server, upstream: Upstream, bob: Customer, tmp_path: Path
) -> None:
    upstream.seen.clear()
    with proxies.running(proxy, tmp_path, Behind(server.port, upstream.port, "unused")) as front:
        assert told(ask(front, START, bob.key), 403)["code"] == "forbidden"
    assert not upstream.seen


def test_what_the_product_answers_is_the_products(
    front: Server, site: Server, upstream: Upstream, bob: Customer
) -> None:
    """And it gives back what it does not serve: the proxy has told it what was charged."""
    key = operators_key()
    for status in (400, 401, 403, 404, 429, 500, 502, 503):
        upstream.seen.clear()
        answer = ask(front, f"{START}?fail={status}", bob.key)
        assert (answer.status_code, answer.json()["bytes"]) == (status, 0)
        (seen,) = upstream.seen
        event, account = UUID(seen.headers["x-usage-event"]), seen.headers["x-account-id"]
        assert ask(site, f"/api/v1/usage/events/{event}?account={account}", key, "DELETE").status_code == 204
    assert set(tokens_of(bob).values()) == {0}


class _Headers(dict[str, Any]):
    """A response of requests as `tests.contract` reads one of Django's."""

    def __init__(self, answer: Any) -> None:
        super().__init__({name: answer.headers[name] for name in ("RateLimit", "RateLimit-Policy")})
