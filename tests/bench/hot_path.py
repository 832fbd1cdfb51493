"""One process calls the WSGI application; each line is what is added to the same view without it, in microseconds."""

from __future__ import annotations

import io
import os
import socket
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from django.utils import timezone
from knox.models import AuthToken
from redis import Redis
from rest_framework.authtoken.models import Token

from billing import lifecycle
from billing.models import ApiKey, Plan
from ratelimit.keys import AccountKeys
from ratelimit.store import client
from tests.bench import Row
from tests.bench.rounds import Contestant, measure, timing
from tests.bench.urls import METERED

TITLE = "Hot path"
OURS = ("billing_site.request_id.RequestId", "billing_site.gateway.Gateway")


def application(without: tuple[str, ...] = OURS) -> WSGIHandler:
    """The WSGI application on this site's middleware, less some of it."""
    with override_settings(MIDDLEWARE=[name for name in settings.MIDDLEWARE if name not in without]):
        return WSGIHandler()


def calls(handler: WSGIHandler, path: str, authorization: str = "") -> Callable[[], None]:
    """A whole request each, from the environ that a server would hand over to the closed response."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "HTTP_ACCEPT": "application/json",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if authorization:
        environ["HTTP_AUTHORIZATION"] = authorization
    statuses: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        statuses[:] = [status]

    def call() -> None:
        response = handler({**environ, "wsgi.input": io.BytesIO()}, start_response)
        for _ in response:
            pass
        response.close()
        if statuses[0] != "200 OK":
            raise RuntimeError(f"{path} answered {statuses[0]}")

    return call


def raw_socket() -> Callable[[], None]:
    """PING and its answer, with nothing but the system calls."""
    parts = urlsplit(settings.REDIS_URL)
    wire = socket.create_connection((parts.hostname or "", parts.port or 0))
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call() -> None:
        wire.sendall(b"*1\r\n$4\r\nPING\r\n")
        wire.recv(64)

    return call


def contestants() -> dict[str, Contestant]:
    plain, metered = application(), application(without=())
    user = get_user_model().objects.create_user("alice")
    Plan.objects.filter(code="starter").update(monthly_token_quota=10**12, requests_per_minute=1_000_000)
    lifecycle.subscribe(user.pk, Plan.objects.get(code="starter"), timezone.now())
    _, key = ApiKey.issue(account=user, name="bench", scope="")
    keys, ours, theirs = AccountKeys(user.pk), client(), Redis.from_url(settings.CACHE_URL)

    def before() -> None:
        # Everybody starts on an empty window, as for a customer with some hundred calls a minute; nothing drains here.
        theirs.flushdb()
        ours.delete(keys.ring, keys.stream)

    drf_token = Token.objects.create(user=user).key
    _, knox_token = AuthToken.objects.create(user)
    client().script_load("return 1")
    named = {
        "raw": raw_socket(),
        "plain": calls(plain, "/bench/plain"),
        "metered": calls(metered, METERED, f"Bearer {key}"),
        "rest-token": calls(plain, "/bench/rest-token", f"Token {drf_token}"),
        "rest-knox": calls(plain, "/bench/rest-knox", f"Token {knox_token}"),
    }
    for name in (
        "evalsha",
        "lean-evalsha",
        "rest",
        "rest-throttle",
        "django-ratelimit",
        "limits-fixed",
        "limits-moving",
        "smart",
        "smart-quota",
    ):
        named[name] = calls(plain, f"/bench/{name}")
    return {name: Contestant(call, before) for name, call in named.items()}


def run(*, quick: bool) -> list[Row]:
    found = {name: timing(medians) for name, medians in measure(contestants(), 15 if quick else 60, 100).items()}
    return [Row(name, t.us, "us", f"{t.low:.0f}-{t.high:.0f}") for name, t in found.items()]
