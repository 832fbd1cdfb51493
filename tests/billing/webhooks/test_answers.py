"""What is an answer: 2xx and no other, within the deadline, and no more than is needed of it."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from billing.models import WebhookDelivery
from billing.webhooks import http_post
from billing.webhooks.http_post import post
from tests.billing.webhooks.telling import anew, endpoint_of, listen, told, try_next
from tests.cast import Customer
from tests.servers.webhooks.receiver import Handler, Receiver, answering

pytestmark = pytest.mark.django_db
State = WebhookDelivery.State


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 500])
def test_only_2xx_is_taken_and_no_redirect_is_followed(
    bob: Customer, receiver: Receiver, other_receiver: Receiver, status: int
) -> None:
    receiver.behave = answering(status, Location=other_receiver.url)
    listen(bob.account, receiver.url)
    delivery = told(bob.account)
    try_next()
    assert (anew(delivery).state, delivery.status) == (State.PENDING, status)
    assert not other_receiver.got


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is(bob: Customer, receiver: Receiver, status: int) -> None:
    receiver.behave = answering(status)
    listen(bob.account, receiver.url)
    delivery = told(bob.account)
    try_next()
    assert anew(delivery).state == State.DELIVERED


def drip(head: bytes) -> Any:
    def answer(handler: Handler) -> None:
        handler.wfile.write(head)
        while True:  # until the other side has left
            handler.wfile.write(b"x")
            time.sleep(0.02)

    return answer


@pytest.mark.parametrize(
    "behave",
    [
        drip(b""),
        drip(b"HTTP/1.1 200 OK\r\nX-Slow: "),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\n\r\n"),
    ],
    ids=["status line", "header", "body", "body without a length"],
)
def test_a_receiver_that_drips_is_cut_off_in_time(receiver: Receiver, behave: Any) -> None:
    receiver.behave = behave
    answer = post(receiver.url, b"{}", {}, seconds=0.4)
    assert (answer.status, answer.error) == (None, "timeout")
    assert answer.seconds < 5


def test_a_look_up_that_hangs_is_cut_off_in_time_and_nothing_is_sent_after_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, truly = threading.Event(), socket.getaddrinfo

    def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == "hanging.test":
            let_go.wait(10)
            host = "127.0.0.1"
        return truly(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    before = set(threading.enumerate())
    answer = post(f"http://hanging.test:{receiver.server_port}/hook", b"{}", {}, seconds=0.4)
    assert (answer.status, answer.error) == (None, "timeout")
    assert answer.seconds < 5
    let_go.set()
    for thread in set(threading.enumerate()) - before:
        thread.join()
    assert not receiver.got


def test_the_deadline_is_fifteen_seconds() -> None:
    assert http_post.SECONDS == 15


def test_no_more_than_4_kb_of_an_answer_is_read(bob: Customer, receiver: Receiver) -> None:
    receiver.behave = answering(500, b"\xff\0" + b"y" * 1_000_000)
    listen(bob.account, receiver.url)
    delivery = told(bob.account)
    try_next()
    assert len(anew(delivery).answer) == 4096
    assert delivery.answer.startswith("\ufffd\ufffdyy")


def test_tries_that_are_kept_are_bounded(bob: Customer, receiver: Receiver) -> None:
    receiver.behave = answering(500)
    new = listen(bob.account, receiver.url)
    delivery = told(bob.account)
    WebhookDelivery.objects.filter(pk=delivery.pk).update(tries=[{"at": "", "status": 1}] * 20)
    try_next()
    assert len(anew(delivery).tries) == 20
    assert delivery.tries[-1]["status"] == 500
    assert endpoint_of(delivery) == new.endpoint
