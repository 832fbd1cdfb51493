"""The places of a sender: a slow receiver, or all of an account's, delay nobody else, and hold nothing but a place."""

from __future__ import annotations

import threading
from datetime import datetime

import pytest
from django.db import connection
from django.utils import timezone

from billing.models import WebhookDelivery, WebhookEndpoint
from billing.webhooks.sender import FOR_ALL_OTHERS, OF_AN_ACCOUNT, OF_AN_ACCOUNTS_OTHERS, OF_ANOTHER, PLACES, Sender
from tests.billing.waiting import until
from tests.billing.webhooks.senders import all_are, closing, happen, sending
from tests.billing.webhooks.telling import listen, listen_as_operator
from tests.cast import Customer
from tests.servers.webhooks.receiver import Receiver, answering, running, waiting_for

pytestmark = pytest.mark.django_db(transaction=True)
State = WebhookDelivery.State


def test_a_slow_receiver_does_not_delay_anothers(alice: Customer, bob: Customer, receiver: Receiver) -> None:
    let_go = threading.Event()
    with running() as slow:
        slow.behave = waiting_for(let_go, answering(200))
        listen(alice.account, slow.url)
        listen(bob.account, receiver.url)
        happen(alice.account, 30)  # each of them is due before any of Bob's
        happen(bob.account, 30)
        with sending() as sender:
            until(lambda: sender.tick() is None and len(receiver.got) == 30)
            assert len(slow.got) <= OF_ANOTHER
            let_go.set()
            assert sender.run_until_idle(60)
        assert len(slow.got) == 30
    assert all_are(State.DELIVERED)


def test_an_accounts_slow_receivers_leave_places_to_those_that_nobody_has_tried(
    alice: Customer, bob: Customer, receiver: Receiver
) -> None:
    """After a process has started, it knows nobody to be quick."""
    let_go = threading.Event()
    with running() as slow:
        slow.behave = waiting_for(let_go, answering(200))
        for number in range(5):
            listen(alice.account, f"{slow.url}/{number}")
        listen(bob.account, receiver.url)
        happen(alice.account, 4)  # each of them is due before any of Bob's
        happen(bob.account, 4)
        with sending() as sender:
            until(lambda: sender.tick() is None and len(receiver.got) == 4)
            assert len(slow.got) <= OF_AN_ACCOUNTS_OTHERS
            let_go.set()
            assert sender.run_until_idle(60)
        assert len(slow.got) == 20
    assert all_are(State.DELIVERED)


def test_the_operators_slow_receivers_leave_places_to_customers(bob: Customer, receiver: Receiver) -> None:
    let_go = threading.Event()
    with running() as slow:
        slow.behave = waiting_for(let_go, answering(200))
        for number in range(5):
            listen_as_operator(f"{slow.url}/{number}")
        listen(bob.account, receiver.url)
        happen(bob.account, 4)
        with sending() as sender:
            until(lambda: sender.tick() is None and len(receiver.got) == 4)
            assert len(slow.got) <= OF_AN_ACCOUNTS_OTHERS
            let_go.set()
            assert sender.run_until_idle(60)
    assert all_are(State.DELIVERED)


def test_an_accounts_quick_receivers_that_begin_to_hang_leave_places_to_others(
    alice: Customer, bob: Customer, receiver: Receiver
) -> None:
    let_go = threading.Event()
    with running() as slow:
        for number in range(5):
            listen(alice.account, f"{slow.url}/{number}")
        listen(bob.account, receiver.url)
        happen(alice.account, 1)
        with sending() as sender:
            assert sender.run_until_idle(60)  # all of hers are known to be quick now
            slow.behave = waiting_for(let_go, answering(200))
            happen(alice.account, 4)
            happen(bob.account, 4)
            until(lambda: sender.tick() is None and len(receiver.got) == 4)
            assert len(slow.got) <= 5 + OF_AN_ACCOUNT
            let_go.set()
            assert sender.run_until_idle(60)
    assert all_are(State.DELIVERED)


def test_two_ticks_at_once_start_no_more_threads_than_there_are_places(bob: Customer, receiver: Receiver) -> None:
    looking, let_go, senders = threading.Event(), threading.Event(), set[threading.Thread]()

    def clock() -> datetime:
        if (thread := threading.current_thread()).name == "webhooks":
            senders.add(thread)
        else:
            looking.set()
            let_go.wait(60)
        return timezone.now()

    listen(bob.account, receiver.url)
    happen(bob.account, 2 * PLACES)
    sender = Sender(clock)
    one, other = (threading.Thread(target=closing(sender.tick)) for _ in range(2))
    one.start()
    looking.wait(60)
    other.start()
    other.join(10)
    assert not other.is_alive(), "it leaves the work to the one that is at it"
    let_go.set()
    one.join()
    assert sender.stop(60)
    assert 0 < len(senders) <= PLACES


def test_a_try_that_hangs_holds_no_connection_to_postgresql(bob: Customer, receiver: Receiver) -> None:
    let_go = threading.Event()
    receiver.behave = waiting_for(let_go, answering(200))
    listen(bob.account, receiver.url)
    happen(bob.account, OF_ANOTHER)
    before = connections()
    with sending() as sender:
        sender.tick()
        receiver.wait_for(OF_ANOTHER)
        try:
            until(lambda: connections() <= before)
        finally:
            let_go.set()
        assert sender.run_until_idle(60)
    assert all_are(State.DELIVERED)


def connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def test_many_slow_receivers_leave_half_of_the_places_to_others(bob: Customer, receiver: Receiver) -> None:
    let_go = threading.Event()
    with running() as slow:
        listen(bob.account, receiver.url)
        happen(bob.account, 1)
        with sending() as sender:
            assert sender.run_until_idle(60)  # it is known to be quick now
            slow.behave = waiting_for(let_go, answering(200))
            for number in range(PLACES):
                made = listen_as_operator(f"{slow.url}/{number}") if number < 5 else None
                if made is None:
                    _another_operators(f"{slow.url}/{number}")
            happen(bob.account, 20)
            until(lambda: sender.tick() is None and len(receiver.got) == 21)
            assert len(slow.got) <= FOR_ALL_OTHERS
            let_go.set()
            assert sender.run_until_idle(60)
    assert all_are(State.DELIVERED)


def _another_operators(url: str) -> None:
    """Beyond the five that are allowed."""
    row = WebhookEndpoint.objects.filter(account=None).latest("pk")
    row.pk, row.url = None, url
    row.save()
