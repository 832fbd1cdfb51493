"""When an endpoint that fails is given up: after five days, with a message that has had all its tries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from billing.models import OutboxMessage, WebhookDelivery
from billing.outbox.kinds import Happened
from billing.webhooks import schedule
from tests.billing.webhooks.telling import NOON, anew, listen, told, try_next
from tests.cast import Customer
from tests.servers.webhooks.receiver import Receiver, answering

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]
State = WebhookDelivery.State
DAY = timedelta(days=1)


def try_until_it_ends(delivery: WebhookDelivery, but: int = 0) -> datetime:
    """Make its tries when they are due, all `but` so many; returns when the last one was made."""
    at = anew(delivery).next_try_at
    while delivery.attempts < schedule.TRIES - but:
        at = delivery.next_try_at
        assert at is not None and try_next(at) is not None
        anew(delivery)
    assert at is not None
    return at


def test_five_days_of_failing_disable_it(bob: Customer, receiver: Receiver, noon: Any) -> None:
    receiver.behave = answering(500)
    new = listen(bob.account, receiver.url)
    try_until_it_ends(told(bob.account))
    assert anew(new.endpoint).failing_since is not None
    noon.move_to(NOON + 3 * DAY)
    try_until_it_ends(told(bob.account))
    assert anew(new.endpoint).is_enabled, "a message has failed all its tries, but it is not five days"
    noon.move_to(NOON + 5 * DAY)
    waiting, last = told(bob.account), told(bob.account)
    WebhookDelivery.objects.filter(pk=waiting.pk).update(next_try_at=NOON + 30 * DAY)
    try_until_it_ends(last)
    row = anew(new.endpoint)
    assert (row.state, row.disabled_reason) == ("disabled", "failing")
    assert anew(waiting).state == State.DEAD
    assert OutboxMessage.objects.filter(kind=Happened.WEBHOOK_DISABLED).count() == 1


def test_a_short_failure_long_after_another_does_not(bob: Customer, receiver: Receiver, noon: Any) -> None:
    """Nothing was tried in between."""
    receiver.behave = answering(500)
    new = listen(bob.account, receiver.url)
    try_until_it_ends(told(bob.account))
    noon.move_to(NOON + 30 * DAY)
    last = told(bob.account)
    at = try_until_it_ends(last, but=1)
    assert anew(new.endpoint).is_enabled
    receiver.behave = answering(200)
    try_next(at + DAY)
    assert (anew(last).state, anew(new.endpoint).failing_since) == (State.DELIVERED, None)


def test_one_success_begins_the_five_days_anew(bob: Customer, receiver: Receiver, noon: Any) -> None:
    receiver.behave = answering(500)
    new = listen(bob.account, receiver.url)
    told(bob.account)
    try_next(NOON + timedelta(minutes=1))
    receiver.behave = answering(204)
    try_next(NOON + 4 * DAY)
    assert anew(new.endpoint).failing_since is None
    receiver.behave = answering(500)
    noon.move_to(NOON + 6 * DAY)
    told(bob.account)
    try_next(NOON + 6 * DAY + timedelta(minutes=1))
    assert anew(new.endpoint).is_enabled
