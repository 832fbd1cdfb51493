"""Webhooks on the dashboard: made, shown once, tried out, put right after a failure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from billing.models import Member, OutboxMessage, StoredResponse, WebhookDelivery, WebhookEndpoint
from billing.models.members import Role
from billing.webhooks import endpoints
from tests.billing.webhooks.conftest import debug, receiver
from tests.billing.webhooks.telling import dispatch, make_key, try_next
from tests.billing_site.dashboard.conftest import Person, text
from tests.cast import Customer
from tests.servers.webhooks.receiver import Receiver, answering

__all__ = ["debug", "receiver"]
pytestmark = pytest.mark.django_db(transaction=True)
SECRET = re.compile(r'<code id="secret">(whsec_[^<]+)</code>')


@pytest.fixture
def bob_there(bob: Customer, at_dashboard: Callable[..., Person]) -> Person:
    return at_dashboard(bob.user)


def make(person: Person, url: str, *types: str) -> str:
    """The secret that the page shows."""
    dispatch()
    answer = person.client.post("/dashboard/webhooks/", person.fields("webhooks/") | {"url": url, "types": types})
    found = SECRET.search(answer.text)
    assert found is not None, text(answer.text)
    return found[1]


def test_it_is_made_shown_once_and_verifies(bob: Customer, bob_there: Person, receiver: Receiver) -> None:
    secret = make(bob_there, receiver.url, "api_key.created", "invoice.paid")
    row = WebhookEndpoint.objects.get()
    assert (row.account_id, row.types) == (bob.account, ["invoice.paid", "api_key.created"])
    page = bob_there.open("webhooks/")
    assert receiver.url in page and "invoice.paid, api_key.created" in page
    kept = [page, bob_there.open(f"webhooks/{row.pk}/"), *(str(each.get_decoded()) for each in Session.objects.all())]
    kept += [str(each) for kind in (StoredResponse, OutboxMessage, WebhookEndpoint) for each in kind.objects.values()]
    assert not any(secret in one for one in kept)
    make_key(bob.account)
    dispatch()
    try_next()
    assert receiver.got[0].verified(secret)["type"] == "api_key.created"


def test_the_same_form_makes_one(bob_there: Person, receiver: Receiver) -> None:
    form = bob_there.fields("webhooks/") | {"url": receiver.url}
    bob_there.send("webhooks/", **form)
    assert "made before" in bob_there.send("webhooks/", **form)
    assert WebhookEndpoint.objects.count() == 1


def test_an_address_that_is_not_public_is_told_beside_the_field(bob_there: Person, settings: Any) -> None:
    settings.DEBUG = False
    page = bob_there.send("webhooks/", **bob_there.fields("webhooks/"), url="https://10.0.0.1/")
    assert "The address is not public." in page and 'value="https://10.0.0.1/"' in page
    assert not WebhookEndpoint.objects.exists()


def test_after_a_failure_it_is_put_right_and_sent_again(bob_there: Person, receiver: Receiver) -> None:
    receiver.behave = answering(410, b"<script>moved</script>")
    make(bob_there, receiver.url)
    row = WebhookEndpoint.objects.get()
    assert "A ping is being sent." in bob_there.send(f"webhooks/{row.pk}/ping/")
    try_next()
    page = bob_there.open(f"webhooks/{row.pk}/")
    assert "it answered 410 Gone" in page and "not taken" in page
    assert "&lt;script&gt;moved" in page and "<script>moved" not in page
    assert "Send all of them again" not in page, "first it is enabled"
    assert "Enable it first" in bob_there.send(f"webhooks/{row.pk}/again/")
    bob_there.send(f"webhooks/{row.pk}/switch/", enabled="yes")
    assert "1 message could not be delivered." in text(bob_there.open(f"webhooks/{row.pk}/"))
    receiver.behave = answering(200)
    assert "1 message is being sent again." in bob_there.send(f"webhooks/{row.pk}/again/")
    try_next()
    delivery = WebhookDelivery.objects.get()
    assert delivery.state == "delivered"
    assert "being sent again" in bob_there.send(f"webhooks/{row.pk}/{delivery.pk}/again/")
    try_next()
    assert [got.id for got in receiver.got] == [delivery.message_id] * 3


def test_it_is_changed_rotated_disabled_and_deleted(bob_there: Person, receiver: Receiver) -> None:
    first = make(bob_there, receiver.url)
    row = WebhookEndpoint.objects.get()
    bob_there.send(f"webhooks/{row.pk}/edit/", url=f"{receiver.url}/new", types=["invoice.paid"])
    rotated = bob_there.confirm(f"webhooks/{row.pk}/rotate/")
    found = SECRET.search(rotated)
    assert found is not None and found[1] != first
    assert "The former secret signs, too, until" in bob_there.open(f"webhooks/{row.pk}/")
    bob_there.send(f"webhooks/{row.pk}/switch/", enabled="no")
    row.refresh_from_db()
    assert (row.url, row.types, row.is_enabled) == (f"{receiver.url}/new", ["invoice.paid"], False)
    assert "is deleted" in bob_there.confirm(f"webhooks/{row.pk}/delete/")
    assert not WebhookEndpoint.objects.exists()


def test_five_and_no_form_for_a_sixth(bob: Customer, bob_there: Person, receiver: Receiver) -> None:
    form = bob_there.fields("webhooks/")
    for _ in range(5):
        endpoints.create(bob.account, receiver.url, (), timezone.now())
    page = bob_there.open("webhooks/")
    assert "5 webhooks at most" in page and "Make the webhook" not in page
    assert "as many webhooks as there can be: 5" in bob_there.send("webhooks/", **form, url=receiver.url)


PAGES = ("", "edit/", "rotate/", "delete/")
DEEDS = ("switch/", "ping/", "again/", "edit/", "rotate/", "delete/")


def test_anothers_is_not_there(alice: Customer, bob_there: Person, receiver: Receiver) -> None:
    row = endpoints.create(alice.account, receiver.url, (), timezone.now()).endpoint
    delivery = endpoints.ping(alice.account, row.pk, timezone.now())
    for page in PAGES:
        assert bob_there.client.get(f"/dashboard/webhooks/{row.pk}/{page}").status_code == 404
    for deed in (*DEEDS, f"{delivery.pk}/again/"):
        assert bob_there.client.post(f"/dashboard/webhooks/{row.pk}/{deed}").status_code == 404
    row.refresh_from_db()
    assert row.is_enabled


def test_members_need_the_right_to_develop(
    alice: Customer, bob: Customer, bob_there: Person, receiver: Receiver
) -> None:
    row = endpoints.create(alice.account, receiver.url, (), timezone.now()).endpoint
    member = Member.objects.create(account=alice.user, user=bob.user, role=Role.BILLING, created_at=timezone.now())
    bob_there.send("members/act-for/", account=alice.account)
    assert bob_there.client.get(f"/dashboard/webhooks/{row.pk}/").status_code == 403
    Member.objects.filter(pk=member.pk).update(role=Role.DEVELOPER)
    assert receiver.url in bob_there.open(f"webhooks/{row.pk}/")


def test_many_deliveries_come_in_pages(bob: Customer, bob_there: Person, receiver: Receiver) -> None:
    row = endpoints.create(bob.account, receiver.url, (), timezone.now()).endpoint
    for _ in range(51):
        endpoints.ping(bob.account, row.pk, timezone.now())
    page = bob_there.open(f"webhooks/{row.pk}/")
    older = re.search(r'href="\?(before=\d+)"', page)
    assert older is not None and page.count("msg_") == 50
    assert bob_there.open(f"webhooks/{row.pk}/?{older[1]}").count("msg_") == 1
    for wrong in ("before=x", "before=99999999999999999999", "before=-1", "before=%D9%A1"):
        assert "msg_" in bob_there.open(f"webhooks/{row.pk}/?{wrong}")


def test_it_speaks_german(bob: Customer, bob_there: Person, receiver: Receiver) -> None:
    bob_there.send("settings/", language="de", time_zone="Europe/Berlin")
    endpoints.create(bob.account, receiver.url, (), timezone.now())
    assert "Neuer Webhook" in bob_there.open("webhooks/")
