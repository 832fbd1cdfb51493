"""One try: signed as the official verifier wants it, retried by the table, and what its endpoint becomes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from billing.models import OutboxMessage, WebhookDelivery, WebhookMessage
from billing.outbox.kinds import Happened
from billing.webhooks import attempt, endpoints, schedule, secrets
from tests.billing.webhooks.telling import (
    NOON,
    anew,
    dispatch,
    listen,
    listen_as_operator,
    make_key,
    told,
    try_next,
)
from tests.cast import Customer
from tests.servers.webhooks.receiver import Receiver, answering

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]
State = WebhookDelivery.State
DAY = timedelta(days=1)


@pytest.fixture
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "JITTER", 0.0)


def test_the_official_verifier_takes_it(bob: Customer, receiver: Receiver) -> None:
    new = listen(bob.account, receiver.url)
    delivery = told(bob.account)
    assert try_next() is not None
    (got,) = receiver.got
    body = got.verified(new.secret)
    assert body["type"] == "api_key.created"
    assert body["data"]["account"] == bob.account
    assert body["data"]["name"] == "server"
    assert got.id == delivery.message_id
    assert got.headers["content-type"] == "application/json"
    assert got.body.decode() == delivery.message.body
    assert anew(delivery).state == State.DELIVERED
    assert anew(delivery).status == 200
    assert try_next() is None


def test_another_secret_or_another_body_is_not_verified(bob: Customer, receiver: Receiver) -> None:
    new = listen(bob.account, receiver.url)
    told(bob.account)
    try_next()
    (got,) = receiver.got
    with pytest.raises(WebhookVerificationError):
        got.verified(secrets.new())
    with pytest.raises(WebhookVerificationError):
        type(got)(got.path, got.headers, got.body.replace(b"server", b"served")).verified(new.secret)


def test_both_secrets_sign_for_a_day_and_then_only_the_new_one(bob: Customer, receiver: Receiver, noon: Any) -> None:
    old = listen(bob.account, receiver.url)
    new = endpoints.rotate(bob.account, old.endpoint.pk, NOON)
    told(bob.account)
    try_next()
    for secret in (old.secret, new.secret):
        assert receiver.got[-1].verified(secret)
    noon.move_to(NOON + DAY - timedelta(seconds=20))
    told(bob.account)
    try_next()
    assert receiver.got[-1].verified(old.secret)
    noon.move_to(NOON + DAY)
    told(bob.account)
    try_next()
    assert receiver.got[-1].verified(new.secret)
    with pytest.raises(WebhookVerificationError):
        receiver.got[-1].verified(old.secret)


def test_a_second_rotation_ends_the_first_secret_at_once(bob: Customer, receiver: Receiver) -> None:
    first = listen(bob.account, receiver.url)
    second = endpoints.rotate(bob.account, first.endpoint.pk, NOON)
    third = endpoints.rotate(bob.account, first.endpoint.pk, NOON)
    told(bob.account)
    try_next()
    assert receiver.got[-1].verified(second.secret)
    assert receiver.got[-1].verified(third.secret)
    with pytest.raises(WebhookVerificationError):
        receiver.got[-1].verified(first.secret)


def test_retries_come_by_the_table_and_end(bob: Customer, receiver: Receiver, no_jitter: None) -> None:
    receiver.behave = answering(500, b"no")
    listen(bob.account, receiver.url)
    delivery = told(bob.account)
    at, waited = delivery.next_try_at, []
    assert at is not None
    while True:
        assert try_next(at) is not None
        then = anew(delivery).next_try_at
        if then is None:
            break
        assert try_next(then - timedelta(microseconds=1)) is None
        waited.append((then - at).total_seconds())
        at = then
    assert waited == [5, 300, 1800, 7200, 18_000, 36_000, 36_000]
    assert delivery.state == State.DEAD
    assert delivery.attempts == len(receiver.got) == 8
    assert {got.id for got in receiver.got} == {delivery.message_id}
    assert {got.body for got in receiver.got} == {delivery.message.body.encode()}
    assert len({got.headers["webhook-timestamp"] for got in receiver.got}) == 8
    assert [one["status"] for one in delivery.tries] == [500] * 8
    assert delivery.answer == "no"


def test_jitter_only_adds_and_a_tenth_at_most() -> None:
    for attempts, delay in enumerate(schedule.DELAYS, start=1):
        soonest = schedule.next_try(attempts, NOON, None, lambda: 0.0)
        latest = schedule.next_try(attempts, NOON, None, lambda: 1.0)
        assert (soonest, latest) == (NOON + delay, NOON + delay * 1.1)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("1", 5),  # sooner than the table is not asked for
        ("Thu, 16 Oct 2025 12:10:00 GMT", 600),
        ("999999999999", 86_400),
        ("Wed, 01 Jan 2020 00:00:00 GMT", 5),
        ("soon", 5),
        ("-5", 5),
        ("\u0661\u0662", 5),
        ("", 5),
    ],
)
def test_retry_after_puts_off_within_bounds(header: str, seconds: float, no_jitter: None) -> None:
    asked = schedule.read_retry_after(header, NOON)
    assert schedule.next_try(1, NOON, asked) == NOON + timedelta(seconds=seconds)


def test_a_receiver_that_asks_for_time_gets_it(bob: Customer, receiver: Receiver, no_jitter: None) -> None:
    receiver.behave = answering(429, Retry_After="120")
    listen(bob.account, receiver.url)
    delivery = told(bob.account)
    at = delivery.next_try_at
    assert at is not None
    try_next(at)
    assert anew(delivery).next_try_at == at + timedelta(seconds=120)


def test_410_disables_it_at_once_and_tells_the_owner(bob: Customer, receiver: Receiver) -> None:
    receiver.behave = answering(410)
    new = listen(bob.account, receiver.url)
    first, second = told(bob.account), told(bob.account)
    try_next()
    row = anew(new.endpoint)
    assert (row.state, row.disabled_reason) == ("disabled", "gone")
    assert {anew(each).state for each in (first, second)} == {State.DEAD}
    assert try_next(NOON + DAY) is None
    message = OutboxMessage.objects.get(kind=Happened.WEBHOOK_DISABLED)
    assert (message.account_id, message.payload) == (bob.account, {"endpoint": row.pk, "reason": "gone"})
    make_key(bob.account)
    dispatch()
    assert WebhookMessage.objects.count() == 2, "what happens meanwhile is not kept for it"


def test_the_operators_is_told_of_everybody_and_staff_of_its_end(
    alice: Customer, bob: Customer, receiver: Receiver
) -> None:
    new = listen_as_operator(receiver.url)
    for customer in (alice, bob):
        told(customer.account)
        try_next()
    assert [got.verified(new.secret)["data"]["account"] for got in receiver.got] == [alice.account, bob.account]
    receiver.behave = answering(410)
    told(bob.account)
    try_next()
    assert OutboxMessage.objects.filter(kind=Happened.OPERATORS_WEBHOOK_DISABLED).count() == 1


def test_sent_again_it_keeps_its_id_and_its_body(bob: Customer, receiver: Receiver) -> None:
    receiver.behave = answering(410)
    new = listen(bob.account, receiver.url)
    delivery = told(bob.account)
    try_next()
    receiver.behave = answering(200)
    with pytest.raises(endpoints.EndpointDisabled):
        endpoints.send_again(bob.account, new.endpoint.pk, delivery.pk, NOON)
    endpoints.change(bob.account, new.endpoint.pk, NOON, {"enabled": True})
    assert endpoints.send_all_again(bob.account, new.endpoint.pk, NOON) == 1
    with pytest.raises(endpoints.DeliveryPending):
        endpoints.send_again(bob.account, new.endpoint.pk, delivery.pk, NOON)
    try_next()
    first, again = receiver.got
    assert (first.id, first.body) == (again.id, again.body)
    assert again.verified(new.secret)
    assert anew(delivery).state == State.DELIVERED
    assert endpoints.send_all_again(bob.account, new.endpoint.pk, NOON) == 0


def test_a_lost_secret_is_said_and_nothing_is_sent(bob: Customer, receiver: Receiver, settings: Any) -> None:
    listen(bob.account, receiver.url)
    delivery = told(bob.account)
    settings.SECRET_KEY = "another"
    try_next()
    assert (anew(delivery).state, delivery.error) == (State.PENDING, "secret")
    assert not receiver.got


def test_a_try_after_its_lease_changes_nothing(bob: Customer, receiver: Receiver) -> None:
    listen(bob.account, receiver.url)
    delivery = told(bob.account)
    late = WebhookDelivery.objects.claim(NOON + timedelta(minutes=1))
    assert late is not None
    assert WebhookDelivery.objects.claim(NOON + timedelta(minutes=1, seconds=59)) is None
    other = WebhookDelivery.objects.claim(NOON + timedelta(minutes=2))
    assert other is not None
    answer = attempt.send(late, NOON)
    assert not attempt.note(late, answer, NOON)
    assert anew(delivery).state == State.PENDING
    assert attempt.note(other, answer, NOON)
    assert anew(delivery).state == State.DELIVERED


def test_the_body_is_json_of_type_timestamp_and_data(bob: Customer, receiver: Receiver) -> None:
    listen(bob.account, receiver.url)
    told(bob.account)
    try_next()
    body = json.loads(receiver.got[0].body)
    assert set(body) == {"type", "timestamp", "data"}
    assert {"id", "version", "account"} <= set(body["data"])
