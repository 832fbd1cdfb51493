"""Law L8 on the real server: whatever bytes a client sends, no feature is reached uncharged."""

from __future__ import annotations

import json

import pytest

from billing.models import LimitOverride
from tests.cast import Customer
from tests.journeys.server import Server
from usage.drain import drain
from usage.models import UsageLog

pytestmark = pytest.mark.django_db(transaction=True)

TARGETS = [
    "/api/v1/trace/start",
    "//api/v1/trace/start",
    "///api/v1/trace/start",
    "/api//v1/trace/start",
    "/api/v1/trace//start",
    "/api/v1/trace/start//",
    "/api%2fv1%2ftrace%2fstart",
    "%2fapi/v1/trace/start",
    "/%2fapi/v1/trace/start",
    "/api/v1/trace/%73tart",
    "/api/v1/trace/%2573tart",
    "/API/v1/trace/START",
    "/api/v1/trace/start;x=1",
    "/api/v1/trace/start/;x=1",
    "/api;x/v1/trace/start",
    "/api/v1/trace/../trace/start",
    "/api/v1/trace/start/..",
    "/api/v1/trace/start/%2e%2e/%2e%2e/plans",
    "/./api/v1/trace/start",
    "/plans/../api/v1/trace/start",
    "/api/v1/trace/start%00",
    "/api/v1/trace/start%0a",
    "/api/v1/trace/start%0d%0a",
    "/api/v1/trace/start\\",
    "/api/v1/trace/start?",
    "/api/v1/trace/start#fragment",
    "/health/../api/v1/trace/start",
    "/admin/..%2fapi/v1/trace/start",
    "/static/../api/v1/trace/start",
    "http://localhost/api/v1/trace/start",
    "http://evil.example/api/v1/trace/start",
    "http:///api/v1/trace/start",
    "http://localhost//api/v1/trace/start",
    "http:/api/v1/trace/start",
    "api/v1/trace/start",
    "*",
]
HEADERS = [
    "X-HTTP-Method-Override: OPTIONS",
    "X-Original-URL: /api/v1/plans",
    "X-Rewrite-URL: /api/v1/plans",
    "X-Forwarded-Prefix: /api",
    "SCRIPT_NAME: /api/v1/trace",
    "Script-Name: /api",
    "PATH_INFO: /api/v1/plans",
    "Path-Info: /api/v1/plans",
    "X-Forwarded-Host: localhost/api/v1/plans?",
    "Upgrade: h2c",
    "Transfer-Encoding: identity",
]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get", "Get", "FROB", "GET\t"]


def request(key: str, method: str, target: str, *headers: str, version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: localhost", f"Authorization: Bearer {key}"]
    lines += ["Content-Type: application/json", "Content-Length: 0", *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode()


def reached(response: bytes) -> bool:
    """Whether the sandbox' view has served the call."""
    head, _, body = response.partition(b"\r\n\r\n")
    status = head.partition(b"\r\n")[0]
    if b" 200 " not in status:
        return False
    return b'"method"' in body or (not body and b"x-usage-cost" in head.lower())


def test_no_spelling_reaches_a_feature_uncharged(server: Server, bob: Customer) -> None:
    for name, maximum in (("minute", None), ("quota", None)):
        LimitOverride.objects.create(account=bob.user, limit=name, maximum=maximum)
    requests = [request(bob.key, "GET", target) for target in TARGETS]
    requests += [request(bob.key, "GET", target, version="1.0") for target in TARGETS[:3]]
    requests += [request(bob.key, "GET", "/api/v1/trace/start", header) for header in HEADERS]
    requests += [request(bob.key, method, "/api/v1/trace/start") for method in METHODS]
    served = 0
    for sent in requests:
        response = server.raw(sent)
        assert response.startswith(b"HTTP/1."), (sent, response)
        assert b" 500 " not in response.partition(b"\r\n")[0], (sent, response)
        if reached(response):
            served += 1
            assert b"x-usage-cost: 10\r\n" in response.lower(), (sent, response)
    assert served >= 10
    drain.drain()
    charges = UsageLog.objects.filter(account=bob.user, kind="charge").count()
    assert charges - UsageLog.objects.filter(account=bob.user, kind="void").count() == served


def test_a_body_in_chunks_reaches_the_view(server: Server, bob: Customer) -> None:
    sent = request(bob.key, "POST", "/api/v1/trace/start").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    response = server.raw(sent + b'8\r\n{"depth"\r\n3\r\n:2}\r\n0\r\n\r\n')
    assert b'"input":{"depth":2}' in response, response
    response = server.raw(sent + b"8\r\n{}\r\n")
    assert b"x-usage-cost: 10" not in response.lower(), response


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\n",
        b"-3\r\n",
        b"2\r\n{}0\r\n\r\n",
        b"2\r\n{}\r\n0\r\nTrailer: x\r\n\r\n",
        b"2\r\n{}\r\n0\r\nbad trailer\r\n\r\n",
        b"2\r\n{}\r\n0\r\n",
        b"8\r\n{}\r\n",
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/trace/start", "/api/v1/plans", "/admin/login/"])
def test_chunks_that_are_none_are_refused_and_cost_nothing(
    server: Server, bob: Customer, path: str, chunks: bytes
) -> None:
    sent = request(bob.key, "POST", path).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    response = server.raw(sent + chunks)
    assert response.startswith(b"HTTP/1.1 4"), response
    drain.drain()
    assert not UsageLog.objects.filter(account=bob.user).exists()


def test_a_body_cut_short_is_not_run(server: Server, bob: Customer) -> None:
    """It would be taken for a whole one."""
    sent = request(bob.key, "POST", "/api/v1/trace/start").replace(b"Content-Length: 0", b"Content-Length: 20")
    assert server.raw(sent + b'{"a":1}').startswith(b"HTTP/1.1 400")
    drain.drain()
    assert not UsageLog.objects.filter(account=bob.user).exists()


def test_two_requests_in_one_are_two(server: Server, bob: Customer) -> None:
    """No smuggling: a pipelined request is metered like the first, and lengths that contradict are refused."""
    one = request(bob.key, "GET", "/api/v1/trace/start").replace(b"Connection: close\r\n", b"")
    last = request(bob.key, "GET", "/api/v1/trace/start")
    assert server.raw(one + last).lower().count(b"x-usage-cost: 10\r\n") == 2
    both = one.replace(b"Content-Length: 0\r\n", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n")
    assert server.raw(both + b"0\r\n\r\n").startswith((b"HTTP/1.1 400", b"HTTP/1.1 200"))
    current = server.raw(request(bob.key, "GET", "/api/v1/usage/current"))
    used = json.loads(current.partition(b"\r\n\r\n")[2])["tokens_used"]
    assert used in (20, 30)
