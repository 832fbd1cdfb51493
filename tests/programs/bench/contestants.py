"""Who runs on the hot path: whole WSGI calls of the small view bare, metered, and behind each peer."""

from __future__ import annotations

import io
import socket
import sys
import time
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

from billing.entitlements import snapshots
from billing.models import ApiKey, Plan
from billing.subscriptions import opening
from ratelimit import scripts
from ratelimit.keys import AccountKeys
from ratelimit.limiter import AdmitCommand
from ratelimit.store import client
from tests.programs.bench import views
from tests.programs.bench.rounds import Contestant
from tests.programs.bench.urls import METERED

GATEWAY = "billing_site.gateway.Gateway"
ENVIRON: dict[str, Any] = {
    "REQUEST_METHOD": "GET",
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


def contestants() -> dict[str, Contestant]:
    user = _customer()
    bearer = f"Bearer {ApiKey.issue(account=user, name='bench', scope='')[1]}"
    token, knox = Token.objects.create(user=user).key, AuthToken.objects.create(user)[1]
    keys, ours, theirs = AccountKeys(user.pk), client(), Redis.from_url(settings.CACHE_URL)
    snapshot = snapshots.snapshot(user.pk, time.time_ns() // 1_000_000)
    views.admit.asked = AdmitCommand(keys, snapshot.versions, snapshot.entitlement.limits)
    ours.script_load(views.TRIVIAL.source)
    ours.script_load(scripts.ADMIT.source)

    def before() -> None:
        # Everybody starts on an empty window, as for a customer with some hundred calls a minute; nothing drains here.
        theirs.flushdb()
        ours.delete(keys.ring, keys.ring_body, keys.stream)

    bare = _application(_middleware(without=GATEWAY))
    calls = {
        "raw": _raw_socket(),
        "gateway": _calls(_application(settings.MIDDLEWARE), METERED, bearer),
        "identify": _calls(
            _application([*_middleware(without=GATEWAY), f"{views.__name__}.Identify"]), "/bench/plain", bearer
        ),
        "rest-token": _calls(bare, "/bench/rest-token", f"Token {token}"),
        "rest-knox": _calls(bare, "/bench/rest-knox", f"Token {knox}"),
    }
    for name in views.VIEWS:
        calls.setdefault(name, _calls(bare, f"/bench/{name}"))
    calls["gateway"]()  # so that Redis knows the account's versions, which the bare admit script names as well
    return {name: Contestant(call, before) for name, call in calls.items()}


def _customer() -> Any:
    """On a plan whose both limits are never reached."""
    user = get_user_model().objects.create_user("alice")
    Plan.objects.filter(code="starter").update(monthly_token_quota=10**12, requests_per_minute=1_000_000)
    opening.subscribe(user.pk, Plan.objects.get(code="starter"), timezone.now())
    return user


def _middleware(without: str) -> list[str]:
    return [name for name in settings.MIDDLEWARE if name != without]


def _application(middleware: list[str]) -> WSGIHandler:
    with override_settings(MIDDLEWARE=middleware):
        return WSGIHandler()


def _calls(handler: WSGIHandler, path: str, authorization: str = "") -> Callable[[], None]:
    """A whole request a call, from the environ that a server would hand over to the closed response."""
    environ = {**ENVIRON, "PATH_INFO": path, **({"HTTP_AUTHORIZATION": authorization} if authorization else {})}
    answered: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        answered[:] = [status]

    def call() -> None:
        response = handler({**environ, "wsgi.input": io.BytesIO()}, start_response)
        for _ in response:
            pass
        response.close()
        if answered[0] != "200 OK":
            raise RuntimeError(f"{path} answered {answered[0]}")

    return call


def _raw_socket() -> Callable[[], None]:
    """A command and its answer with nothing but the system calls: what no client of Redis can be faster than."""
    parts = urlsplit(settings.REDIS_URL)
    wire = socket.create_connection((parts.hostname or "", parts.port or 0))
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call() -> None:
        wire.sendall(b"*1\r\n$4\r\nPING\r\n")
        wire.recv(64)

    return call
