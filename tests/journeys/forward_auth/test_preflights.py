"""CORS preflights before a product: they pass where the operator says so, and nothing passes in their guise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.cast import Customer
from tests.journeys.forward_auth import proxies
from tests.journeys.forward_auth.proxies import Behind, Proxy
from tests.journeys.forward_auth.test_proxies import START, ask, proxy, tokens_of, told, upstream
from tests.journeys.forward_auth.upstream import Upstream
from tests.journeys.server import forget_catalogues, running

__all__ = ["proxy", "upstream"]
pytestmark = pytest.mark.django_db(transaction=True)
ASKS = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}


def test_a_preflight_passes_and_what_may_be_more_does_not(
    proxy: Proxy, upstream: Upstream, bob: Customer, tmp_path: Path
) -> None:
    """Also of a site that has CORS for pages of its own API's."""
    forget_catalogues()
    upstream.seen.clear()
    variables: dict[str, Any] = {
        "TRUSTED_PROXIES": "127.0.0.1/32",
        "AUTHORIZE_PREFLIGHTS": "1",
        "CORS_ALLOWED_ORIGINS": "https://app.example",
    }
    with (
        running(connection.settings_dict["NAME"], **variables) as site,
        proxies.running(proxy, tmp_path, Behind(site.port, upstream.port, "unused")) as front,
    ):
        assert ask(front, START, method="OPTIONS", headers=ASKS).json()["served"] == START
        (seen,) = upstream.seen
        assert (seen.method, seen.headers.get("x-account-id", "")) == ("OPTIONS", "")
        for headers in (ASKS | {"X-HTTP-Method-Override": "POST"}, {"Origin": ASKS["Origin"]}):
            assert told(ask(front, START, method="OPTIONS", headers=headers), 401)["code"] == "not_authenticated"
    assert (len(upstream.seen), tokens_of(bob)) == (1, {})
