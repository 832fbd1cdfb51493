"""Whoever works a move off, however many at once, wherever killed: each subscription is moved exactly once."""

from __future__ import annotations

import signal

import pytest
from django.db import connection
from django.utils import timezone

from billing.models import BulkMove, BulkMoveItem, Invoice, OutboxMessage, Plan, Subscription
from billing.subscriptions.bulk import moves, work
from billing.subscriptions.bulk.moves import Order
from billing.tasks import move_subscribers
from tests.billing.ledger import assert_explained, assert_tiled
from tests.billing.subscriptions.period_end.test_renewal_concurrency import assert_gapless, at_once
from tests.billing.waiting import until
from tests.factories import make_plan, make_subscription
from tests.processes import process

pytestmark = pytest.mark.django_db(transaction=True)
WORKER = """
import os
import django
django.setup()
from django.utils import timezone
from billing.models import BulkMove
from billing.subscriptions.bulk import moves, work
from tests.processes import at_statements, killing_at
with at_statements(killing_at(int(os.environ["KILLED_AT"]))):
    work.work_off(BulkMove.objects.get(), timezone.now)
"""


@pytest.fixture
def low(transactional_db: None) -> Plan:
    return make_plan("low", 31, 1)


@pytest.fixture
def high(transactional_db: None) -> Plan:
    return make_plan("high", 93, 3)


def confirmed(low: Plan, high: Plan, count: int) -> BulkMove:
    for _ in range(count):
        make_subscription(low, timezone.now())
    move = moves.begin(Order(low, high, BulkMove.When.NOW, False, "retired"), timezone.now())
    assert work.work_off(move, timezone.now)
    return moves.confirm(move, timezone.now())


def assert_each_once(move: BulkMove, target: Plan) -> None:
    items = list(BulkMoveItem.objects.filter(move=move))
    assert {item.outcome for item in items} == {"moved"}
    for subscription in Subscription.objects.all():
        assert subscription.plan_id == target.pk
        assert subscription.invoices.count() == 2, "one as it was opened, one as it was moved"
        told = OutboxMessage.objects.filter(account=subscription.account_id, kind="subscription.plan_changed")
        assert told.count() == 1
        assert_tiled(subscription)
        assert_explained(subscription)
    assert sorted(item.invoice_id or 0 for item in items) == sorted(
        Invoice.objects.exclude(lines__kind="base").values_list("pk", flat=True)
    )
    assert_gapless()


def test_several_workers_move_each_once(low: Plan, high: Plan) -> None:
    move = confirmed(low, high, 12)
    at_once(*[lambda: work.work_off(BulkMove.objects.get(pk=move.pk), timezone.now)] * 4)
    assert work.work_off(move, timezone.now)
    assert move.state == BulkMove.State.FINISHED
    assert_each_once(move, high)


def test_killed_at_points_all_along_the_next_one_goes_on(low: Plan, high: Plan) -> None:
    """Each worker is killed a prime of statements later than the one before it: in every kind of place."""
    move = confirmed(low, high, 3)
    killed = 0
    for point in (2, 9, 23, 37, 53, 71, 89, 107, 131, 10_000):
        with process("-c", WORKER, KILLED_AT=str(point)) as running:
            errors = running.communicate(timeout=60)[1]
        if running.returncode == 0:
            break
        assert running.returncode == -signal.SIGKILL, errors
        killed += 1
        assert BulkMoveItem.objects.filter(outcome="moved").count() == Subscription.objects.filter(plan=high).count()
    assert killed > 3
    move.refresh_from_db()
    assert move.state == BulkMove.State.FINISHED
    assert_each_once(move, high)


def test_one_that_another_worker_holds_is_left_to_it(low: Plan, high: Plan) -> None:
    move = confirmed(low, high, 2)
    held = connection.copy()
    try:
        held.set_autocommit(False)
        with held.cursor() as cursor:
            cursor.execute("SELECT FROM billing_bulkmoveitem ORDER BY id LIMIT 1 FOR UPDATE")
        assert not work.work_off(move, timezone.now)
        assert moves.tally(move).waiting == 1
        held.rollback()
    finally:
        held.close()
    assert work.work_off(move, timezone.now)


def test_beat_does_what_was_left(low: Plan, high: Plan) -> None:
    move = confirmed(low, high, 2)
    move_subscribers()
    move.refresh_from_db()
    assert move.state == BulkMove.State.FINISHED
    until(lambda: Subscription.objects.filter(plan=high).count() == 2)
