"""What the provider tells, through the site's door: once, twice, in another order, forged, old, too large, or never."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from kombu import pools

from billing.models import PaymentMethod, ProviderCustomer, ProviderEvent
from billing.payments.cards import events, methods
from billing.payments.cards.answers import Answered
from billing.payments.cards.configured import card_gateway
from billing.payments.cards.gateway import Gateway
from billing.tasks import poll_provider_events, process_provider_event, sweep_provider_events
from billing_site.celery import app
from billing_site.local.engines.process import wait_until
from tests.cast import Customer
from tests.servers.card.running import VISA, CardServer

pytestmark = pytest.mark.django_db
DONE, LEFT = "http://site.example/done?page={page}", "http://site.example/left"
State = ProviderEvent.State
OF_NO_USE: dict[str, Any] = {"type": "balance.available", "subject": {"object": "balance", "livemode": False}}


@pytest.fixture
def gateway(card_server: CardServer) -> Gateway:
    gateway = card_gateway()
    assert gateway is not None
    return gateway


@pytest.fixture
def client() -> Client:
    return Client(enforce_csrf_checks=True, raise_request_exception=False)


@pytest.fixture
def saved_there(gateway: Gateway, card_server: CardServer, bob: Customer) -> str:
    """A customer has saved a card on the hosted page and closed the browser."""
    page = methods.begin_set_up(gateway, bob.account, timezone.now(), done_url=DONE, left_url=LEFT)
    assert isinstance(page, Answered)
    assert card_server.fill_in(page.value.url, VISA)
    return page.value.reference


def states() -> dict[str, str]:
    return dict(ProviderEvent.objects.values_list("type", "state"))


def test_a_card_is_saved_by_the_event_alone(saved_there: str, card_server: CardServer, client: Client) -> None:
    assert set(card_server.deliver(client)) == {200}
    assert set(states()) >= {"setup_intent.succeeded", "payment_method.attached", "checkout.session.completed"}
    assert set(states().values()) == {State.RECEIVED}
    for row in ProviderEvent.objects.all():
        process_provider_event(row.pk)
    assert set(states().values()) == {State.DONE}
    (card,) = PaymentMethod.objects.all()
    assert (card.last4, card.is_default) == ("4242", True)
    assert not ProviderEvent.objects.exclude(payload={}).exists()  # it names a person, and is needed no more


@pytest.mark.parametrize("order", [1, -1])
def test_twice_and_in_any_order_it_is_one_card(
    saved_there: str, card_server: CardServer, client: Client, order: int
) -> None:
    webhooks = card_server.pending()[::order]
    assert set(card_server.deliver(client, [*webhooks, *webhooks])) == {200}
    assert ProviderEvent.objects.count() == len(webhooks)
    for _ in range(2):
        sweep_provider_events()
    assert PaymentMethod.objects.count() == 1
    assert set(card_server.deliver(client, webhooks)) == {200}  # long after
    assert set(states().values()) == {State.DONE}


def test_events_that_never_came_are_found(saved_there: str, card_server: CardServer) -> None:
    card_server.tell(**OF_NO_USE)
    poll_provider_events()
    assert ProviderEvent.objects.filter(object_type="setup_intent").exists()
    assert not ProviderEvent.objects.filter(object_type="balance").exists()  # nothing is done with it
    sweep_provider_events()
    assert PaymentMethod.objects.count() == 1
    known = ProviderEvent.objects.count()
    poll_provider_events()
    assert ProviderEvent.objects.count() == known


def test_a_poll_that_fails_is_made_up_for_by_the_next(saved_there: str, card_server: CardServer) -> None:
    card_server.fault("refuse", "GET /v1/events")
    poll_provider_events()
    assert not ProviderEvent.objects.exists()
    poll_provider_events()
    assert ProviderEvent.objects.exists()


@pytest.mark.parametrize("given", [{"secret": "whsec_of_somebody"}, {"seconds_ago": 301}], ids=["forged", "old"])
def test_a_forged_or_an_old_one_is_refused(
    saved_there: str, card_server: CardServer, client: Client, given: dict[str, Any]
) -> None:
    assert set(card_server.deliver(client, card_server.pending(**given))) == {400}
    assert not ProviderEvent.objects.exists()


def test_one_that_is_not_signed_is_refused(gateway: Gateway, client: Client) -> None:
    for body in (b"{}", b"", b"\xff\x00", b'{"id": "evt_1"}'):
        answer = client.post("/payments/stripe/webhook", body, content_type="application/json")
        assert answer.status_code == 400


def test_a_changed_body_is_refused(saved_there: str, card_server: CardServer, client: Client) -> None:
    webhooks = card_server.pending()
    changed = [each | {"body": each["body"].replace("4242", "4243")} for each in webhooks if "4242" in each["body"]]
    assert changed and set(card_server.deliver(client, changed)) == {400}


def test_a_huge_one_is_refused(gateway: Gateway, client: Client, settings: Any) -> None:
    body = b"x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    assert client.post("/payments/stripe/webhook", body, content_type="application/json").status_code == 413


@pytest.mark.parametrize(("is_live", "key"), [(True, "sk_test_ourselves"), (False, "sk_live_ourselves")])
def test_an_event_of_the_other_mode_is_refused(
    saved_there: str, card_server: CardServer, client: Client, settings: Any, is_live: bool, key: str
) -> None:
    card_server.pending()
    card_server.live(is_live=is_live)
    customer = ProviderCustomer.objects.get().reference
    card_server.save_card(customer=customer, number=VISA)
    settings.STRIPE_SECRET_KEY = key
    assert card_server.deliver(client) == [400]
    assert not ProviderEvent.objects.exists()


def test_other_methods_and_providers_and_a_site_without_cards(gateway: Gateway, client: Client, settings: Any) -> None:
    assert client.get("/payments/stripe/webhook").status_code == 405
    assert client.post("/payments/paypal/webhook").status_code == 404
    settings.STRIPE_SECRET_KEY = ""
    assert client.post("/payments/stripe/webhook").status_code == 404
    assert client.post("/payments/stripe/webhook/").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_the_test_provider_sends_by_itself_as_in_the_demo(
    gateway: Gateway, card_server: CardServer, bob: Customer, live_server: Any
) -> None:
    customer = methods.customer_of(gateway, bob.account, timezone.now())
    assert isinstance(customer, Answered)
    card_server.webhook(url=f"{live_server.url}/payments/stripe/webhook")
    card_server.save_card(customer=customer.value, number=VISA)
    wait_until(lambda: ProviderEvent.objects.filter(type="payment_method.attached").exists(), 20, "it did not come")


def test_while_the_broker_is_away_the_sweep_takes_it(
    saved_there: str, card_server: CardServer, client: Client, broker_gone: list[object]
) -> None:
    answers = card_server.deliver(client)
    assert set(answers) == {200}
    assert len(broker_gone) == len(answers), "no thread waits and asks once more"
    sweep_provider_events()
    assert PaymentMethod.objects.count() == 1


@pytest.fixture
def broker_gone() -> Iterator[list[object]]:
    """Celery's connections of this process lead to who hangs up. What is given has one entry for each of them."""
    configured, asked = app.conf.broker_url, list[object]()
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_hang_up, args=(server, asked), daemon=True).start()
        _send_tasks_to(f"redis://127.0.0.1:{server.getsockname()[1]}/0")
        yield asked
        _send_tasks_to(configured)
        server.shutdown(socket.SHUT_RDWR)


def _hang_up(server: socket.socket, asked: list[object]) -> None:
    with suppress(OSError):  # the end of the test
        while True:
            connected, address = server.accept()
            asked.append(address)
            connected.close()


def _send_tasks_to(url: str) -> None:
    pools.reset()
    app._pool = app.amqp._producer_pool = None
    app.conf.broker_url = url


class TestProcessed:
    def test_about_an_object_that_the_provider_does_not_know(
        self, saved_there: str, card_server: CardServer, client: Client
    ) -> None:
        card_server.deliver(client)
        ProviderEvent.objects.filter(object_type="setup_intent").update(object_reference="seti_nobody")
        sweep_provider_events()
        row = ProviderEvent.objects.get(object_type="setup_intent")
        assert row.state == State.FAILED and "knows no such object" in row.error
        assert row.payload  # for staff
        assert events.failed() == 1

    def test_about_what_nothing_is_done_with(self, gateway: Gateway, card_server: CardServer, client: Client) -> None:
        card_server.tell(**OF_NO_USE)
        card_server.deliver(client)
        sweep_provider_events()
        assert states() == {"balance.available": State.DONE}

    def test_while_the_provider_is_away_it_waits_longer_each_time(
        self, gateway: Gateway, saved_there: str, card_server: CardServer, client: Client
    ) -> None:
        card_server.deliver(client)
        ProviderEvent.objects.exclude(object_type="setup_intent").delete()
        card_server.fault("refuse", "GET /v1/setup_intents", times=100)
        now, tried = timezone.now(), []
        for _ in range(24 * 60 * 2):  # minutes
            if events.process_waiting(gateway, now):
                tried.append(now)
            now += timedelta(minutes=1)
        waited = [round((later - sooner).total_seconds() / 60) for sooner, later in pairwise(tried)]
        assert waited == list(events.RETRIES)
        row = ProviderEvent.objects.get()
        assert row.state == State.FAILED and "away" in row.error
        card_server.fault("refuse", "nothing")
        assert events.process_again(row)

    def test_staff_have_it_processed_again(
        self, gateway: Gateway, saved_there: str, card_server: CardServer, client: Client
    ) -> None:
        card_server.deliver(client)
        card_server.fault("refuse", "GET /v1/setup_intents")
        row = ProviderEvent.objects.get(object_type="setup_intent")
        process_provider_event(row.pk)
        process_provider_event(row.pk)  # not before its time
        row.refresh_from_db()
        assert (row.state, row.tries) == (State.RECEIVED, 1)
        assert events.process_again(row)
        process_provider_event(row.pk)
        row.refresh_from_db()
        assert row.state == State.DONE
        assert not events.process_again(row)

    def test_what_waits_for_long_is_counted(self, saved_there: str, card_server: CardServer, client: Client) -> None:
        card_server.deliver(client)
        now = timezone.now()
        assert events.late(now + timedelta(minutes=14)) == 0
        assert events.late(now + timedelta(minutes=16)) == ProviderEvent.objects.count()

    def test_what_is_done_is_forgotten_after_90_days(
        self, saved_there: str, card_server: CardServer, client: Client
    ) -> None:
        card_server.deliver(client)
        sweep_provider_events()
        ProviderEvent.objects.filter(object_type="setup_intent").update(state=State.FAILED)
        now = timezone.now()
        assert events.purge(now + timedelta(days=89)) == 0
        assert events.purge(now + timedelta(days=91)) > 0
        assert ProviderEvent.objects.get().object_type == "setup_intent"
