"""Senders at work: on threads, in several processes, killed; all is sent, once."""

from __future__ import annotations

import signal
import threading
from datetime import timedelta
from functools import partial

import pytest
from django.core.management import call_command
from django.utils import timezone

from billing import tasks
from billing.models import OutboxMessage, WebhookDelivery
from billing.users import User
from billing.webhooks.figures import figures
from billing.webhooks.sender import Sender
from tests.billing.waiting import until
from tests.billing.webhooks.senders import all_are, closing, happen, sending
from tests.billing.webhooks.telling import dispatch, listen, listen_as_operator, make_key
from tests.cast import Customer
from tests.processes import process
from tests.servers.webhooks.receiver import Receiver, answering, waiting_for

pytestmark = pytest.mark.django_db(transaction=True)
State = WebhookDelivery.State


def test_each_message_is_sent_once_to_each_endpoint(alice: Customer, bob: Customer, receiver: Receiver) -> None:
    listen(alice.account, receiver.url + "/alice")
    listen(bob.account, receiver.url + "/bob")
    listen_as_operator(receiver.url + "/all")
    happen(alice.account, 5)
    happen(bob.account, 5)
    with sending() as sender:
        assert sender.run_until_idle(60)
    assert all_are(State.DELIVERED)
    paths = [got.path.rpartition("/")[2] for got in receiver.got]
    assert {path: paths.count(path) for path in set(paths)} == {"alice": 5, "bob": 5, "all": 10}
    assert len({(got.path, got.id) for got in receiver.got}) == 20


def test_two_senders_send_once(bob: Customer, receiver: Receiver) -> None:
    listen(bob.account, receiver.url)
    happen(bob.account, 40)
    one, other = Sender(), Sender()
    threads = [threading.Thread(target=closing(partial(sender.run_until_idle, 60))) for sender in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all_are(State.DELIVERED)
    assert len(receiver.got) == len({got.id for got in receiver.got}) == 40
    assert one.sent + other.sent == 40


def test_whoever_is_deactivated_is_told_nothing_until_he_is_back(
    alice: Customer, bob: Customer, receiver: Receiver
) -> None:
    listen(alice.account, receiver.url + "/alice")
    listen(bob.account, receiver.url + "/bob")
    happen(alice.account, 1)
    happen(bob.account, 1)
    User.objects.filter(pk=bob.account).update(is_active=False)
    with sending() as sender:
        assert sender.run_until_idle(60)
    assert [got.path.rpartition("/")[2] for got in receiver.got] == ["alice"]
    assert figures(timezone.now() + timedelta(hours=1)).overdue_seconds == 0
    User.objects.filter(pk=bob.account).update(is_active=True)
    with sending() as sender:
        assert sender.run_until_idle(60)
    assert all_are(State.DELIVERED)


FOLLOW = """
import django
django.setup()
from django.conf import settings
settings.DEBUG = True
from django.core.management import call_command
call_command("send_webhooks", "--follow")
"""
DISPATCH = """
import os, threading, django
django.setup()
from billing.webhooks import consumer
if os.environ.get("KILLED"):
    made = consumer.deliver
    def deliver(*args):
        made(*args)
        print("made", flush=True)
        threading.Event().wait()
    consumer.deliver = deliver
from django.conf import settings
settings.OUTBOX_CONSUMERS = {"webhooks": "billing.webhooks.consumer.make_webhooks"}
from django.core.management import call_command
call_command("dispatch_outbox")
"""


def test_two_processes_send_once(bob: Customer, receiver: Receiver) -> None:
    listen(bob.account, receiver.url)
    happen(bob.account, 60)
    with process("-c", FOLLOW) as one, process("-c", FOLLOW) as other:
        until(lambda: all_are(State.DELIVERED))
        for running_one in (one, other):
            running_one.send_signal(signal.SIGTERM)
            assert running_one.wait(timeout=60) == 0
    assert len(receiver.got) == len({got.id for got in receiver.got}) == 60


def test_killed_between_the_fact_and_the_sending_it_is_sent_all_the_same(bob: Customer, receiver: Receiver) -> None:
    """The fact is committed and nothing else has happened; the next dispatcher and the next sender go on from there."""
    listen(bob.account, receiver.url)
    make_key(bob.account)
    assert not WebhookDelivery.objects.exists()
    with process("-c", DISPATCH, KILLED="1", OUTBOX_LEASE_SECONDS="1") as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "made\n"
        killed.kill()
        killed.wait(timeout=60)
    assert not OutboxMessage.objects.filter(position=None).exists()
    assert not WebhookDelivery.objects.exists(), "it was made in one transaction, which is gone"
    with process("-c", DISPATCH, OUTBOX_LEASE_SECONDS="1") as again:
        again.wait(timeout=60)
    until(lambda: dispatched(1))
    with sending() as sender:
        assert sender.run_until_idle(60)
    assert [got.json()["type"] for got in receiver.got] == ["api_key.created"]


def dispatched(count: int) -> bool:
    dispatch()
    return WebhookDelivery.objects.count() == count


def test_a_sender_that_is_killed_in_a_try_is_followed_after_its_lease(bob: Customer, receiver: Receiver) -> None:
    let_go = threading.Event()
    receiver.behave = waiting_for(let_go, answering(200))
    listen(bob.account, receiver.url)
    happen(bob.account, 1)
    with process("-c", FOLLOW) as killed:
        receiver.wait_for(1)
        killed.kill()
        killed.wait(timeout=60)
    let_go.set()
    row = WebhookDelivery.objects.get()
    assert (row.state, row.attempts) == (State.PENDING, 1)
    with sending() as sender:
        assert sender.run_until_idle(60)
        assert len(receiver.got) == 1, "the lease holds"
        assert row.next_try_at is not None
        sender.clock = lambda: row.next_try_at or timezone.now()
        assert sender.run_until_idle(60)
    assert [got.id for got in receiver.got] == [row.message_id] * 2
    assert all_are(State.DELIVERED)


def test_the_task_and_the_command_send(bob: Customer, receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    listen(bob.account, receiver.url)
    happen(bob.account, 1)
    call_command("send_webhooks")
    assert "1 try made" in capsys.readouterr().out
    receiver.behave = answering(500)
    happen(bob.account, 1)
    sender = tasks.webhook_sender()
    tasks.send_webhooks()
    receiver.wait_for(2)
    assert sender.run_until_idle(60)
    receiver.behave = answering(200)
    call_command("send_webhooks")
    assert "1 endpoint fails" in capsys.readouterr().out
