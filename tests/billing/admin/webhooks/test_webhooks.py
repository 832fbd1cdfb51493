"""Staff make the operator's webhooks, see what was not taken, and send it again."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connections
from django.utils import timezone

from billing.models import WebhookDelivery, WebhookEndpoint
from billing.webhooks import addresses, endpoints
from tests.billing.webhooks.conftest import debug, receiver
from tests.billing.webhooks.telling import dispatch, listen, make_key, told, try_next
from tests.cast import Customer, Staff
from tests.servers.webhooks.receiver import Receiver, answering

__all__ = ["debug", "receiver"]
pytestmark = pytest.mark.django_db
ENDPOINTS, DELIVERIES = "billing/webhookendpoint/", "billing/webhookdelivery/"
SECRET = re.compile(r"(whsec_[A-Za-z0-9+/=]+)")


def press(staff: Staff, page: str, **fields: Any) -> str:
    answer = staff.client.post(f"/admin/{page}", fields, follow=True)
    assert answer.status_code == 200, (page, answer.status_code)
    return str(answer.content.decode())


def test_the_operators_is_made_and_its_secret_shown_once(superuser: Staff, alice: Customer, receiver: Receiver) -> None:
    assert "told of all accounts" in superuser.open(f"{ENDPOINTS}add/").content.decode()
    made = superuser.send(f"{ENDPOINTS}add/", url=receiver.url, types=["api_key.created"])
    found = SECRET.search(made.content.decode())
    assert found is not None, made.content.decode()
    row = WebhookEndpoint.objects.get()
    assert (row.account_id, row.made_by_id, row.types) == (None, superuser.user.pk, ["api_key.created"])
    for page in (ENDPOINTS, f"{ENDPOINTS}{row.pk}/change/"):
        shown = superuser.open(page).content.decode()
        assert receiver.url in shown and found[1] not in shown
    dispatch()
    while try_next():
        pass
    receiver.got.clear()
    make_key(alice.account, "laptop")
    dispatch()
    try_next()
    assert receiver.got[0].verified(found[1])["data"]["name"] == "laptop"


def test_an_address_that_is_not_public_is_refused(superuser: Staff, settings: Any) -> None:
    settings.DEBUG = False
    answer = superuser.send(f"{ENDPOINTS}add/", url="https://169.254.169.254/latest/", types=[])
    assert "network that is not public" in answer.content.decode()
    assert not WebhookEndpoint.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_names_are_looked_up_outside_of_transactions(
    superuser: Staff, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that does not answer would keep the page's transaction open."""
    inside, truly, of_the_page = [], socket.getaddrinfo, connections["default"]

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:  # in a thread of its own, whose connection is another
        if host == "hooks.test":
            inside.append(of_the_page.in_atomic_block)
            host = "127.0.0.1"
        return truly(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    superuser.send(f"{ENDPOINTS}add/", url=" http://hooks.test/one ", types=[])
    row = WebhookEndpoint.objects.get()
    superuser.send(f"{ENDPOINTS}{row.pk}/change/", url="http://hooks.test/other", types=[])
    row.refresh_from_db()
    assert row.url == "http://hooks.test/other"
    assert inside == [False, False]


def test_who_may_not_change_an_endpoint_has_no_name_looked_up(
    clerk: Staff, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(addresses, "check", asked.append)
    clerk.may("billing.view_webhookendpoint")
    new = endpoints.create(None, receiver.url, (), timezone.now(), by_staff=clerk.user.pk)
    for page in ("add/", f"{new.endpoint.pk}/change/"):
        assert clerk.send(f"{ENDPOINTS}{page}", url="http://hooks.test/").status_code == 403
    assert not asked


def test_what_was_not_taken_is_sent_again_one_or_all(superuser: Staff, bob: Customer, receiver: Receiver) -> None:
    receiver.behave = answering(410, b"<b>gone</b>")
    new = listen(bob.account, receiver.url)
    first, second = told(bob.account), told(bob.account)
    try_next()
    home = superuser.open("").content.decode()
    assert "Webhooks stopped" in home
    stopped = superuser.open(f"{ENDPOINTS}?state=stopped").content.decode()
    assert receiver.url in stopped and "bob" in stopped
    page = superuser.open(f"{DELIVERIES}{first.pk}/change/").content.decode()
    assert "&lt;b&gt;gone" in page and first.message_id in page and "api_key.created" in page
    receiver.behave = answering(200)
    assert "is enabled" in press(superuser, f"{ENDPOINTS}{new.endpoint.pk}/enable/")
    assert "being sent again" in press(superuser, f"{DELIVERIES}{first.pk}/send_again/")
    assert "still being tried" in press(superuser, f"{DELIVERIES}{first.pk}/send_again/")
    assert "being sent again" in press(superuser, f"{ENDPOINTS}{new.endpoint.pk}/send_all_again/")
    while try_next():
        pass
    assert not WebhookDelivery.objects.exclude(state="delivered").exists()
    chosen = {"action": "send_chosen_again", "_selected_action": [first.pk, second.pk]}
    assert "2 are being sent again" in press(superuser, DELIVERIES, **chosen)
    while try_next():
        pass
    assert len({got.id for got in receiver.got}) == 2 and len(receiver.got) == 5
    assert LogEntry.objects.filter(change_message__startswith="Sent again").count() == 3


def test_a_customers_secret_is_not_shown_to_staff(superuser: Staff, bob: Customer, receiver: Receiver) -> None:
    new = listen(bob.account, receiver.url)
    assert "to the customer alone" in press(superuser, f"{ENDPOINTS}{new.endpoint.pk}/rotate/")
    assert superuser.send(f"{ENDPOINTS}{new.endpoint.pk}/change/", url="https://evil.example/").status_code == 403
    new.endpoint.refresh_from_db()
    assert new.endpoint.url == receiver.url
    assert superuser.open(f"{ENDPOINTS}{new.endpoint.pk}/delete/").status_code == 403


def test_the_operators_is_rotated_pinged_disabled_and_deleted(superuser: Staff, receiver: Receiver) -> None:
    new = endpoints.create(None, receiver.url, (), timezone.now(), by_staff=superuser.user.pk)
    page = f"{ENDPOINTS}{new.endpoint.pk}/"
    shown = superuser.client.post(f"/admin/{page}rotate/")
    found = SECRET.search(shown.content.decode())
    assert found is not None and "no-store" in shown["Cache-Control"]
    press(superuser, f"{page}ping/")
    try_next()
    assert receiver.got[0].verified(found[1])["type"] == "ping"
    assert "It is disabled" in press(superuser, f"{page}disable/")
    assert "Enable it first" in press(superuser, f"{page}ping/")
    press(superuser, f"{page}delete/", post="yes")
    assert not WebhookEndpoint.objects.exists()


def test_those_who_may_only_look_change_nothing(clerk: Staff, bob: Customer, receiver: Receiver) -> None:
    clerk.may("billing.view_webhookendpoint", "billing.view_webhookdelivery")
    new = listen(bob.account, receiver.url)
    delivery = told(bob.account)
    assert clerk.open(f"{ENDPOINTS}{new.endpoint.pk}/change/").status_code == 200
    assert clerk.open(f"{DELIVERIES}{delivery.pk}/change/").status_code == 200
    for action in ("ping", "rotate", "enable", "disable", "send_all_again"):
        assert clerk.send(f"{ENDPOINTS}{new.endpoint.pk}/{action}/").status_code == 403
    assert clerk.send(f"{DELIVERIES}{delivery.pk}/send_again/").status_code == 403
    assert clerk.open(f"{ENDPOINTS}add/").status_code == 403
