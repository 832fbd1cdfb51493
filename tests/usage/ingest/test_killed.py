"""Law L2 under kill -9: a receiver is killed at every point there is, and its sender sends the batch again."""

from __future__ import annotations

import pytest
from django.conf import settings

from billing.fence import push
from tests.cast import Customer, call
from tests.processes import walked
from tests.usage.histories import sums
from tests.usage.ingest.kill_walk import EVENTS
from tests.usage.metering.reservations.held import nothing_drifts
from usage.models import ReceivedEvent

pytestmark = pytest.mark.django_db(transaction=True)


def test_killed_at_any_point_each_event_counts_once(carol: Customer, erin: Customer) -> None:
    accounts = str(carol.account), str(erin.account)
    points = walked("tests.usage.ingest.kill_walk", *accounts, seconds=240, REDIS_URL=settings.REDIS_URL)
    assert len(points) > 30, "too few points were walked"
    size = 2 * EVENTS
    assert all(point["accepted"] + point["duplicates"] == size for point in points)
    assert {point["accepted"] for point in points} == {0, size}, "a batch is taken whole, or not at all"
    push.sweep()  # beat's: of a receiver that was killed between its commit and its push
    for each in (carol, erin):
        assert sums(each.account) == {len(points) * EVENTS * 10}
        assert call(each).quota.used == len(points) * EVENTS * 10
    assert ReceivedEvent.objects.count() == len(points) * size
    assert nothing_drifts()
