"""Endpoints and deliveries over HTTP: who may, what is refused, what is shown once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import ApiKey, WebhookDelivery, WebhookEndpoint
from billing.webhooks import endpoints, secrets
from tests.billing.webhooks.telling import dispatch, make_key, try_next
from tests.cast import Customer
from tests.schema import CheckedClient
from tests.servers.webhooks.receiver import Receiver, answering

pytestmark = pytest.mark.django_db
PATH = "/api/v1/webhooks"


@pytest.fixture
def manager(bob: Customer) -> Customer:
    """Bob, with a key of scope manage."""
    _, key = ApiKey.issue(account=bob.user, name="deploy", scope="manage")
    api = CheckedClient(headers={"authorization": f"Bearer {key}"}, raise_request_exception=False)
    return Customer(bob.user, key, api)


def make(customer: Customer, url: str, *types: str, **headers: str) -> Any:
    dispatch()
    return customer.post(PATH, {"url": url, "types": list(types)}, **headers)


def patch(customer: Customer, id: str, **body: Any) -> Any:
    return customer.api.patch(f"{PATH}/{id}", body, content_type="application/json")


def test_the_secret_is_shown_once_and_verifies(manager: Customer, receiver: Receiver) -> None:
    made = make(manager, receiver.url, "api_key.created")
    assert made.status_code == 201
    secret, id = made.json()["secret"], made.json()["id"]
    make_key(manager.account)
    dispatch()
    try_next()
    assert receiver.got[0].verified(secret)["type"] == "api_key.created"
    for shown in (manager.api.get(f"{PATH}/{id}"), manager.api.get(PATH), patch(manager, id, enabled=True)):
        assert shown.status_code == 200
        assert secret not in shown.content.decode()
    row = WebhookEndpoint.objects.get()
    assert secret not in row.secret and secrets.decrypted(row.secret) == secret


def test_a_repetition_makes_one_and_does_not_show_the_secret_again(manager: Customer, receiver: Receiver) -> None:
    first = make(manager, receiver.url, **{"Idempotency-Key": "a"})
    again = make(manager, receiver.url, **{"Idempotency-Key": "a"})
    assert (again.status_code, again.json()["secret"]) == (201, None)
    assert first.json()["id"] == again.json()["id"]
    assert WebhookEndpoint.objects.count() == 1


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("ftp://example.com/", "https"),
        ("example.com/hook", "such as"),
        ("", "blank"),
        ("https://user:pass@example.com/", "user name"),
        ("https://10.0.0.7/", "not public"),
        ("https://[::ffff:10.0.0.7]/", "not public"),
        ("https://nothing.invalid/", "cannot be found"),
        ("https://example.com/#part", "such as"),
        ("https://exa mple.com/", "such as"),
        ("https://" + "a" * 600, "500"),
    ],
)
def test_an_address_is_refused_with_its_reason(manager: Customer, url: str, word: str) -> None:
    answer = make(manager, url)
    assert answer.status_code == 400
    assert word in str(answer.json()["errors"]["url"])
    assert not WebhookEndpoint.objects.exists()


def test_http_and_this_machine_only_under_debug(manager: Customer, receiver: Receiver, settings: Any) -> None:
    settings.DEBUG = False
    assert "https" in str(make(manager, receiver.url).json()["errors"]["url"])
    https = receiver.url.replace("http:", "https:")
    assert "not public" in str(make(manager, https).json()["errors"]["url"])
    settings.DEBUG = True
    made = make(manager, receiver.url)
    settings.DEBUG = False
    assert "not public" in str(patch(manager, made.json()["id"], url="https://127.0.0.1/").json()["errors"]["url"])


def test_wrong_types_and_fields_are_named(manager: Customer, receiver: Receiver) -> None:
    assert "types" in make(manager, receiver.url, "invoice.eaten").json()["errors"]
    assert "types" in make(manager, receiver.url, "ping").json()["errors"]
    for body in ({"url": receiver.url, "kind": 1}, {"url": 5}, {}, {"url": receiver.url, "types": "all"}):
        assert manager.post(PATH, body).status_code == 400
    id = make(manager, receiver.url).json()["id"]
    assert patch(manager, id, enabled="no").status_code == 400
    assert patch(manager, id, secret="whsec_mine").status_code == 400
    assert manager.post(f"{PATH}/{id}/ping", {"now": True}).status_code == 400


def test_five_and_no_more(manager: Customer, receiver: Receiver) -> None:
    for number in range(5):
        assert make(manager, f"{receiver.url}/{number}").status_code == 201
    answer = make(manager, receiver.url)
    assert (answer.status_code, answer.json()["code"]) == (400, "too_many_endpoints")


@pytest.mark.parametrize("scope", ["", "meter"])
def test_a_key_that_only_calls_may_not(
    customer: Callable[..., Customer], manager: Customer, receiver: Receiver, scope: str
) -> None:
    _, key = ApiKey.issue(account=manager.user, name="calls", scope=scope)
    api = CheckedClient(headers={"authorization": f"Bearer {key}"}, raise_request_exception=False)
    caller = Customer(manager.user, key, api)
    id = make(manager, receiver.url).json()["id"]
    for answer in (
        api.get(PATH),
        make(caller, receiver.url),
        api.get(f"{PATH}/{id}"),
        patch(caller, id, enabled=False),
        api.delete(f"{PATH}/{id}"),
        caller.post(f"{PATH}/{id}/rotate", {}),
        caller.post(f"{PATH}/{id}/ping", {}),
        api.get(f"{PATH}/{id}/deliveries"),
        caller.post(f"{PATH}/{id}/deliveries/1/retry", {}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_a_session_may(bob: Customer, receiver: Receiver) -> None:
    browser = Client()
    browser.force_login(bob.user)
    body = {"url": receiver.url}
    assert browser.post(PATH, body, content_type="application/json").status_code == 201
    assert len(browser.get(PATH).json()["results"]) == 1


def test_anothers_endpoint_is_not_there(alice: Customer, manager: Customer, receiver: Receiver) -> None:
    new = endpoints.create(alice.account, receiver.url, (), timezone.now())
    delivery = endpoints.ping(alice.account, new.endpoint.pk, timezone.now())
    mine = make(manager, receiver.url).json()["id"]
    id = new.endpoint.pk
    for answer in (
        manager.api.get(f"{PATH}/{id}"),
        patch(manager, str(id), enabled=False),
        patch(manager, str(id), url=receiver.url),
        manager.api.delete(f"{PATH}/{id}"),
        manager.post(f"{PATH}/{id}/rotate", {}),
        manager.post(f"{PATH}/{id}/ping", {}),
        manager.api.get(f"{PATH}/{id}/deliveries"),
        manager.post(f"{PATH}/{id}/deliveries/{delivery.pk}/retry", {}),
        manager.post(f"{PATH}/{mine}/deliveries/{delivery.pk}/retry", {}),
        manager.api.get(f"{PATH}/seven"),
        manager.api.get(f"{PATH}/999999999999999999"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert [row["id"] for row in manager.api.get(PATH).json()["results"]] == [mine]
    assert WebhookEndpoint.objects.get(pk=id).is_enabled


def test_nor_is_the_operators(manager: Customer, superuser: Any, receiver: Receiver) -> None:
    new = endpoints.create(None, receiver.url, (), timezone.now(), by_staff=superuser.user.pk)
    assert manager.api.get(f"{PATH}/{new.endpoint.pk}").status_code == 404
    assert manager.api.get(PATH).json()["results"] == []


def test_rotation_shows_another_secret(manager: Customer, receiver: Receiver) -> None:
    made = make(manager, receiver.url).json()
    rotated = manager.post(f"{PATH}/{made['id']}/rotate", {})
    assert rotated.status_code == 201
    assert rotated.json()["secret"] != made["secret"]
    assert rotated.json()["previous_secret_until"]
    manager.post(f"{PATH}/{made['id']}/ping", {})
    try_next()
    for secret in (made["secret"], rotated.json()["secret"]):
        assert receiver.got[0].verified(secret)["type"] == "ping"


def test_deliveries_are_shown_and_sent_again(manager: Customer, receiver: Receiver) -> None:
    receiver.behave = answering(410, b"moved away")
    made = make(manager, receiver.url).json()
    pinged = manager.post(f"{PATH}/{made['id']}/ping", {})
    assert (pinged.status_code, pinged.json()["state"]) == (202, "pending")
    again = f"{PATH}/{made['id']}/deliveries/{pinged.json()['id']}/retry"
    assert manager.post(again, {}).json()["code"] == "delivery_pending"
    try_next()
    (shown,) = manager.api.get(f"{PATH}/{made['id']}/deliveries").json()["results"]
    assert (shown["state"], shown["status"], shown["answer"]) == ("dead", 410, "moved away")
    assert (shown["tries"][0]["status"], shown["error"]) == (410, None)
    assert manager.post(again, {}).json()["code"] == "endpoint_disabled"
    assert manager.post(f"{PATH}/{made['id']}/ping", {}).json()["code"] == "endpoint_disabled"
    endpoint = manager.api.get(f"{PATH}/{made['id']}").json()
    assert (endpoint["enabled"], endpoint["disabled_reason"]) == (False, "gone")
    receiver.behave = answering(200)
    assert patch(manager, made["id"], enabled=True).json()["disabled_reason"] is None
    assert manager.post(again, {}).status_code == 202
    try_next()
    first, second = receiver.got
    assert first.id == second.id == shown["message"]
    assert manager.api.get(f"{PATH}/{made['id']}/deliveries").json()["results"][0]["state"] == "delivered"


def test_a_delivery_that_never_arrived_says_why(manager: Customer, receiver: Receiver, settings: Any) -> None:
    made = make(manager, receiver.url).json()
    manager.post(f"{PATH}/{made['id']}/ping", {})
    settings.DEBUG = False
    try_next()
    (shown,) = manager.api.get(f"{PATH}/{made['id']}/deliveries").json()["results"]
    assert (shown["status"], shown["error"], shown["state"]) == (None, "form", "pending")
    assert not receiver.got


def test_deliveries_come_in_pages(manager: Customer, receiver: Receiver) -> None:
    made = make(manager, receiver.url).json()
    for _ in range(3):
        manager.post(f"{PATH}/{made['id']}/ping", {})
    first = manager.api.get(f"{PATH}/{made['id']}/deliveries?limit=2").json()
    second = manager.api.get(first["next"]).json()
    ids = [row["id"] for row in [*first["results"], *second["results"]]]
    assert ids == sorted(ids, key=int, reverse=True) and len(ids) == 3
    assert manager.api.get(f"{PATH}/{made['id']}/deliveries?state=dead").status_code == 400


def test_deleted_it_is_gone_with_its_deliveries(manager: Customer, receiver: Receiver) -> None:
    made = make(manager, receiver.url).json()
    manager.post(f"{PATH}/{made['id']}/ping", {})
    assert manager.api.delete(f"{PATH}/{made['id']}").status_code == 204
    assert manager.api.delete(f"{PATH}/{made['id']}").status_code == 404
    assert not WebhookDelivery.objects.exists()
    assert try_next() is None


def test_disabled_by_its_owner_it_hears_nothing(manager: Customer, receiver: Receiver) -> None:
    made = make(manager, receiver.url).json()
    manager.post(f"{PATH}/{made['id']}/ping", {})
    shown = patch(manager, made["id"], enabled=False).json()
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "owner")
    make_key(manager.account)
    dispatch()
    assert try_next() is None
    assert WebhookDelivery.objects.get().state == "dead"
