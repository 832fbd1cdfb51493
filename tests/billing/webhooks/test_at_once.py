"""Many at once: the bound on endpoints holds, and a rotation, a deletion or a disabling beside tries breaks nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from billing.models import WebhookDelivery, WebhookEndpoint
from billing.webhooks import endpoints
from billing.webhooks.sender import Sender
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
    receiver.wait_for(4)
    gone = at_once(
        lambda: endpoints.delete(bob.account, deleted.pk),
        lambda: endpoints.change(bob.account, disabled.pk, timezone.now(), {"enabled": False}),
        lambda: endpoints.rotate(bob.account, disabled.pk, timezone.now()),
    )
    assert not any(isinstance(each, Exception) for each in gone), gone
    let_go.set()
    assert sender.run_until_idle(60)
    assert len(receiver.got) == 4, "nothing more is sent"
    assert not WebhookDelivery.objects.exclude(endpoint=disabled, state="dead").exists()
    assert WebhookDelivery.objects.count() == 4
