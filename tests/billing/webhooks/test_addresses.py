"""Where nothing is sent: this machine and its networks, whatever spelling, name, redirect or change leads there.

Each trick is tried twice: when an endpoint is set, and as a row that says so already, at the moment of sending.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import timezone

from billing.models import WebhookDelivery, WebhookEndpoint
from billing.webhooks import addresses
from billing.webhooks.http_post import post
from tests.billing.webhooks.telling import anew, listen, told, try_next
from tests.cast import Customer
from tests.servers.webhooks.receiver import Receiver, answering

TRICKS = {
    "loopback": "127.0.0.1",
    "loopback in short": "127.1",
    "loopback in hexadecimal": "0x7f000001",
    "loopback as a number": "2130706433",
    "loopback in octal": "0177.0.0.1",
    "nowhere": "0.0.0.0",
    "loopback, IPv6": "[::1]",
    "mapped into IPv6": "[::ffff:127.0.0.1]",
    "mapped into IPv6, hexadecimal": "[::ffff:7f00:1]",
    "link-local, where clouds keep credentials": "169.254.169.254",
    "link-local, IPv6": "[fe80::1]",
    "private": "10.0.0.1",
    "private, of 16": "192.168.1.1",
    "private, of 12": "172.16.0.1",
    "private, IPv6": "[fd00::1]",
    "shared": "100.64.0.1",
    "NAT64": "[64:ff9b::7f00:1]",
    "6to4": "[2002:7f00:1::]",
    "IPv4 within IPv6, as it was written once": "[::127.0.0.1]",
    "translated into IPv6": "[::ffff:0:127.0.0.1]",
    "site-local": "[fec0::1]",
    "multicast": "224.0.0.1",
    "a name of this machine": "localhost",
    "a name with a dot": "localhost.",
}


@pytest.fixture(autouse=True)
def as_deployed(settings: Any) -> Iterator[None]:
    settings.DEBUG = False
    yield


@pytest.mark.parametrize("host", TRICKS.values(), ids=TRICKS)
def test_an_address_that_is_not_public_is_refused_and_not_reached(host: str) -> None:
    with pytest.raises(addresses.UrlRefused) as refused:
        addresses.check(f"https://{host}:8443/hook")
    assert refused.value.parameters["reason"] in ("address", "unknown")
    assert post(f"https://{host}:8443/hook", b"{}", {}).error in ("address", "unknown_host")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("gopher://127.0.0.1:6379/_SET", "scheme"),
        ("https://example.com@127.0.0.1/", "user"),
        ("https://:secret@example.com/", "user"),
        ("https://example.com\\@127.0.0.1/", "form"),
        ("https://example.com/\r\nX-Evil: 1", "form"),
        ("https://exa\tmple.com/", "form"),
        ("https://", "form"),
        ("//127.0.0.1/", "form"),
        ("https://example.com:99999/", "form"),
        ("https://x..y/", "unknown"),
    ],
)
def test_what_is_no_such_address_is_refused_and_not_reached(url: str, reason: str) -> None:
    with pytest.raises(addresses.UrlRefused) as refused:
        addresses.check(url)
    assert refused.value.parameters == {"reason": reason}
    assert post(url, b"{}", {}).error in ("form", "unknown_host", "connection")


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Let `rebinding.test` be each of these addresses in turn, the last one from then on. The look-ups made so far."""
    asked: list[str] = []
    truly = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "rebinding.test":
            asked.append(host)
            host = answers[min(len(asked), len(answers)) - 1]
        return truly(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def test_a_look_up_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: let_go.wait(10) and [])
    monkeypatch.setattr(addresses, "LOOK_UP_SECONDS", 0.05)
    before = set(threading.enumerate())
    with pytest.raises(addresses.UrlRefused) as refused:
        addresses.check("https://hanging.test/hook")
    assert refused.value.parameters["reason"] == "unknown"
    (looking,) = set(threading.enumerate()) - before
    let_go.set()
    looking.join()


def test_a_name_that_changes_between_the_judgement_and_the_connection(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """It is looked up once: what is connected to is what was judged."""
    asked = resolving(monkeypatch, "203.0.113.1", "127.0.0.1")
    answer = post(f"https://rebinding.test:{receiver.server_port}/hook", b"{}", {}, seconds=1.0)
    assert answer.error in ("timeout", "connection", "address")
    assert asked == ["rebinding.test"]
    assert not receiver.got


@pytest.mark.django_db
def test_a_name_that_changes_after_the_endpoint_was_made(
    bob: Customer, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    resolving(monkeypatch, "93.184.216.34", "127.0.0.1")
    listen(bob.account, f"https://rebinding.test:{receiver.server_port}/hook")
    delivery = told(bob.account)
    try_next()
    assert (anew(delivery).error, delivery.state) == ("address", WebhookDelivery.State.PENDING)
    assert not receiver.got


@pytest.mark.django_db
def test_a_redirect_to_this_machine_is_not_followed(
    bob: Customer, receiver: Receiver, other_receiver: Receiver, settings: Any
) -> None:
    settings.DEBUG = True  # or the first one could not be reached either
    receiver.behave = answering(302, Location=other_receiver.url)
    listen(bob.account, receiver.url)
    delivery = told(bob.account)
    try_next()
    assert anew(delivery).status == 302
    assert not other_receiver.got


@pytest.mark.django_db
def test_a_proxy_of_the_environment_is_passed_over(
    bob: Customer, receiver: Receiver, other_receiver: Receiver, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.DEBUG = True
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, other_receiver.url.removesuffix("/hook"))
    listen(bob.account, receiver.url)
    told(bob.account)
    try_next()
    assert receiver.got and not other_receiver.got


@pytest.mark.django_db
def test_a_row_that_names_this_machine_is_never_sent_to(bob: Customer, receiver: Receiver) -> None:
    """As though it had been made under DEBUG, or by hand."""
    WebhookEndpoint.objects.create(
        account=bob.user, url=receiver.url.replace("http:", "https:"), secret="", created_at=timezone.now()
    )
    assert post(receiver.url.replace("http:", "https:"), b"{}", {}).error == "address"
    assert post(receiver.url, b"{}", {}).error == "form"
    assert not receiver.got
