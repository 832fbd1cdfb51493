"""What beat looks for: a task is sent to the broker when, and only when, something waits for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError
from django.db.models import F
from django.utils import timezone

from billing import tasks
from billing.fence import push
from billing.fence.models import CATALOGUE, Fence
from billing.models import OutboxCursor, WebhookDelivery
from billing.outbox.positions import give_positions
from billing.subscriptions.bulk import moves
from billing.subscriptions.bulk.moves import Order
from billing_site.beat.lookout import LOOKS, Look, Lookout
from billing_site.celery import app
from billing_site.staff_home import figures
from billing_site.tasks import read_staff_figures
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import client as redis_client
from tests.billing.outbox.taking import ALICE, Clock, deliver, failing_on, happened
from tests.billing.webhooks.telling import listen, told
from tests.cast import Customer, Staff, call
from tests.factories import make_plan, make_subscription
from tests.usage.metering.reservations.held import FEATURE, reserve, row
from usage import tasks as usage_tasks
from usage.drain import drain
from usage.models import Reservation, WindowUsage

pytestmark = pytest.mark.django_db
EVERY_SECOND, THRESHOLDS = tasks.every_second.name, usage_tasks.look_at_thresholds.name
EXPIRE, MOVE = usage_tasks.expire_reservations.name, tasks.move_subscribers.name


def sent() -> list[str]:
    """Tasks that wait at the broker; they are taken from it."""
    names = []
    with app.connection_for_read() as broker, broker.SimpleQueue("celery") as queue:
        while True:
            try:
                message = queue.get(block=False)
            except queue.Empty:
                return names
            names.append(message.headers["task"])
            message.ack()


def found(lookout: Lookout | None = None, seconds: float = 0.0) -> list[str]:
    (lookout or Lookout()).look(seconds)
    return sent()


def at_rest() -> None:
    """All that has happened was told, no counter is to be looked at, and no staff have looked at their home: what is
    found then is of the test."""
    push.push_all()
    give_positions(settings.OUTBOX_CONSUMERS, timezone.now())
    OutboxCursor.objects.update(delivered=F("latest"))
    WindowUsage.objects.update(look_at=None)
    cache.delete(figures.LOOKED_AT_KEY)


@pytest.mark.usefixtures("catalogue")
class TestWork:
    def test_a_site_at_rest_sends_nothing(self, bob: Customer) -> None:
        call(bob, FEATURE)
        drain.drain()
        at_rest()
        assert found() == []

    def test_a_fence_that_was_not_pushed(self) -> None:
        at_rest()
        Fence.objects.update_or_create(subject=CATALOGUE, defaults={"version": 9, "pushed": 8})
        assert found() == [EVERY_SECOND]

    def test_a_message_of_the_outbox(self) -> None:
        at_rest()
        happened(ALICE, 1)
        assert found() == [EVERY_SECOND]

    def test_a_message_that_failed_once_its_time_has_come(self) -> None:
        at_rest()
        happened(ALICE, 1)
        deliver(Clock(), log=failing_on(1))
        later = timezone.now() + timedelta(hours=1)
        OutboxCursor.objects.update(due_at=later)
        assert found() == []
        OutboxCursor.objects.update(due_at=timezone.now())
        assert found() == [EVERY_SECOND]

    def test_a_webhook(self, bob: Customer, settings: Any) -> None:
        settings.DEBUG = True  # this machine may listen
        listen(bob.account, "http://127.0.0.1:9/")
        delivery = told(bob.account)
        at_rest()
        assert found() == [EVERY_SECOND]
        WebhookDelivery.objects.filter(pk=delivery.pk).update(next_try_at=timezone.now() + timedelta(hours=1))
        assert found() == []

    def test_a_counter_to_be_looked_at(self, bob: Customer) -> None:
        call(bob, FEATURE)
        drain.drain()
        at_rest()
        assert WindowUsage.objects.update(look_at=timezone.now()) == 1
        assert found() == [THRESHOLDS]

    def test_a_reservation_that_is_open(self, bob: Customer) -> None:
        reserve(bob, 9)
        at_rest()
        assert found() == [EXPIRE]

    def test_a_reservation_that_redis_does_not_hold(self, bob: Customer) -> None:
        held = row(reserve(bob, 9))
        at_rest()
        redis_client().flushall()
        assert found() == []
        Reservation.objects.filter(pk=held.pk).update(by_redis=False, expires_at=timezone.now())
        assert found() == [EXPIRE]

    def test_a_move_of_subscribers(self) -> None:
        low, high = make_plan("low", 10), make_plan("high", 20)
        make_subscription(low, timezone.now())
        moves.begin(Order(low, high, "now", keeps_price=False, reason="a test"), timezone.now())
        at_rest()
        assert found() == [MOVE]

    def test_the_figures_of_the_staffs_home_while_somebody_looks_at_them(self, superuser: Staff) -> None:
        at_rest()
        lookout = Lookout()
        assert found(lookout, 0) == []
        superuser.open("")
        turns = [found(lookout, seconds).count(read_staff_figures.name) for seconds in (59, 60, 61, 119, 120)]
        assert turns == [0, 1, 0, 0, 1]


class TestTurns:
    def test_a_look_waits_for_its_turn(self) -> None:
        lookout = Lookout([Look(tasks.every_second, 5, lambda now: True)])
        assert [len(found(lookout, seconds)) for seconds in (100.0, 101.0, 104.9, 105.0, 106.0)] == [1, 0, 0, 1, 0]

    def test_each_is_a_task_that_expires_with_the_next_turn(self) -> None:
        assert all(look.task.name in app.tasks and look.seconds >= 1 for look in LOOKS)
        assert len({look.task.name for look in LOOKS}) == len(LOOKS)


class TestOutages:
    @pytest.mark.parametrize("error", [DatabaseError("gone"), RedisUnreachable("gone"), ValueError("a fault of ours")])
    def test_one_that_fails_stops_no_other_and_is_told_once(
        self, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        answers = iter([error, error, None])

        def fails_twice(now: object) -> bool:
            if problem := next(answers):
                raise problem
            return True

        lookout = Lookout([Look(tasks.move_subscribers, 1, fails_twice), Look(tasks.every_second, 1, lambda now: True)])
        turns = [found(lookout, seconds) for seconds in (1.0, 2.0, 3.0)]
        assert turns == [[EVERY_SECOND], [EVERY_SECOND], [MOVE, EVERY_SECOND]]
        said = [record.getMessage() for record in caplog.records if record.name == "billing_site.beat.lookout"]
        assert said == [f"beat cannot look for work, or send it: {error}", "beat looks for work again"]
