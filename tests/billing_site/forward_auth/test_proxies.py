"""Who may describe requests of others: the address at the other end of the connection says it, no header does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.billing_site.forward_auth.test_views import DOOR, START, ask, code, trusted
from tests.billing_site.test_gateway import used
from tests.cast import Customer
from tests.contract import has_rate_headers

__all__ = ["trusted"]
pytestmark = pytest.mark.django_db


class TestWhoIsBelieved:
    @pytest.mark.parametrize("peer", ["10.0.0.1", "", "2001:db9::1", "unix:", "fe80::1%eth0"])
    def test_nobody_else(self, bob: Customer, peer: str) -> None:
        response = bob.api.get(
            DOOR,
            headers={
                "X-Original-Method": "GET",
                "X-Original-URI": START,
                "X-Forwarded-For": "127.0.0.1",
                "X-Real-IP": "127.0.0.1",
                "Forwarded": "for=127.0.0.1",
            },
            REMOTE_ADDR=peer,
        )
        assert code(response) == (403, "forbidden")
        assert not has_rate_headers(response) and used(bob) == 0

    @pytest.mark.parametrize("peer", ["127.0.0.9", "::ffff:127.0.0.9", "2001:db8::1"])
    def test_those_that_are_named(self, bob: Customer, peer: str) -> None:
        headers = {"X-Original-Method": "GET", "X-Original-URI": START}
        assert bob.api.get(DOOR, headers=headers, REMOTE_ADDR=peer).status_code == 200

    def test_unset_is_nobody_whatever_a_header_says(self, bob: Customer, settings: Any) -> None:
        settings.CLIENT_ADDRESS_HEADER = "X-Real-IP"
        settings.TRUSTED_PROXIES = []
        assert code(ask(bob.api, **{"X-Real-IP": "127.0.0.1"})) == (403, "forbidden")
