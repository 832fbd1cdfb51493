"""Where a request comes from is one rule, for whoever counts by address."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client, RequestFactory

from billing_site.request.client_address import client_address


@pytest.mark.parametrize(
    ("header", "sent", "address"),
    [
        ("", {}, "10.0.0.1"),
        ("", {"X-Real-IP": "10.0.0.2"}, "10.0.0.1"),
        ("X-Real-IP", {"X-Real-IP": "10.0.0.2"}, "10.0.0.2"),
        ("X-Real-IP", {}, ""),
        ("X-Real-IP", {"X-Real-IP": "x" * 1000}, "x" * 64),
    ],
)
def test_the_address(header: str, sent: dict[str, str], address: str, settings: Any) -> None:
    settings.CLIENT_ADDRESS_HEADER = header
    assert client_address(RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", headers=sent)) == address


@pytest.mark.django_db
@pytest.mark.parametrize(("addresses", "statuses"), [("1" * 22, [200] * 20 + [429] * 2), ("12" * 11, [200] * 22)])
def test_log_ins_behind_a_proxy_are_counted_by_it(addresses: str, statuses: list[int], settings: Any) -> None:
    settings.CLIENT_ADDRESS_HEADER = "X-Real-IP"
    answers = [
        Client(headers={"X-Real-IP": address}).post("/admin/login/", {"username": f"n{n}", "password": "x"})
        for n, address in enumerate(addresses)
    ]
    assert [answer.status_code for answer in answers] == statuses
