"""Many at once: the bound on endpoints holds, and a rotation, a deletion or a disabling beside tries breaks nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from billing.models import WebhookDelivery, WebhookEndpoint
from billing.webhooks import endpoints
from billing.webhooks.sender import OF_AN_ACCOUNTS_OTHERS, Sender
from tests.billing.waiting import somebody_waits_for_a_row, until
from tests.billing.webhooks.telling import dispatch, listen, make_key
from tests.cast import Customer
from tests.servers.webhooks.receiver import Receiver, answering, waiting_for

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each gave, or raised."""
    gate = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        gate.wait()
        try:
            return work()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def test_five_endpoints_however_many_are_asked_for(bob: Customer, receiver: Receiver) -> None:
    def make() -> Any:
        return endpoints.create(bob.account, receiver.url, (), timezone.now())

    made = at_once(*[make] * 8)
    assert sum(isinstance(each, endpoints.TooManyEndpoints) for each in made) == 3
    assert WebhookEndpoint.objects.filter(account=bob.account).count() == 5


def test_five_of_the_operators_whoever_of_staff_makes_them(receiver: Receiver) -> None:
    staff = [User.objects.create(username=f"staff {number}", is_staff=True).pk for number in range(8)]

    def make(by_staff: int) -> Any:
        return endpoints.create(None, receiver.url, (), timezone.now(), by_staff=by_staff)

    made = at_once(*[partial(make, each) for each in staff])
    assert sum(isinstance(each, endpoints.TooManyEndpoints) for each in made) == 3
    assert WebhookEndpoint.objects.filter(account=None).count() == 5


def test_what_is_told_while_its_endpoint_is_being_disabled_does_not_wait_for_ever(
    bob: Customer, receiver: Receiver
) -> None:
    """It would be pending, and nobody would try it: its endpoint is disabled."""
    endpoint = listen(bob.account, receiver.url).endpoint
    make_key(bob.account)
    telling = threading.Thread(target=at_once, args=[dispatch])
    with transaction.atomic():
        endpoints.change(bob.account, endpoint.pk, timezone.now(), {"enabled": False})
        telling.start()
        until(lambda: somebody_waits_for_a_row() or not telling.is_alive())
    telling.join()
    assert not WebhookDelivery.objects.filter(state="pending").exists()


def test_deleted_or_disabled_while_its_messages_are_being_sent(bob: Customer, receiver: Receiver) -> None:
    let_go = threading.Event()
    receiver.behave = waiting_for(let_go, answering(500))
    deleted = listen(bob.account, receiver.url).endpoint
    disabled = listen(bob.account, receiver.url).endpoint
    for _ in range(4):
        make_key(bob.account)
    dispatch()
    sender = Sender()
    sender.tick()
    receiver.wait_for(OF_AN_ACCOUNTS_OTHERS)
    gone = at_once(
        lambda: endpoints.delete(bob.account, deleted.pk),
        lambda: endpoints.change(bob.account, disabled.pk, timezone.now(), {"enabled": False}),
        lambda: endpoints.rotate(bob.account, disabled.pk, timezone.now()),
    )
    assert not any(isinstance(each, Exception) for each in gone), gone
    let_go.set()
    assert sender.run_until_idle(60)
    assert len(receiver.got) == OF_AN_ACCOUNTS_OTHERS, "nothing more is sent"
    assert not WebhookDelivery.objects.exclude(endpoint=disabled, state="dead").exists()
    assert WebhookDelivery.objects.count() == 4
