"""Reservations while Redis is out of reach, has lost them, or does not answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from ratelimit import reservations
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import client, store
from tests.cast import Customer, call
from tests.outages import lost_replies, no_redis
from tests.usage.metering.reservations.held import again, counted, heartbeat, reserve, row, settle
from usage.drain import drain
from usage.metering.reservations import finishing, progress, sweep
from usage.metering.reservations.refusals import BoundExceeded, NotAdmitted, Over
from usage.models import Reservation
from usage.sync import outage

pytestmark = pytest.mark.django_db


def redis_is_back() -> None:
    outage.breaker.attempt(1)


def test_postgres_opens_and_settles(bob: Customer, settings: Any) -> None:
    with no_redis(settings):
        held = reserve(bob, 9)
        assert settle(held, 4).charged == 4
        assert settle(again(held), 4).charged == 4
        with pytest.raises(Over):
            settle(again(held), 5)
        with pytest.raises(NotAdmitted):
            reserve(bob, 497)
    redis_is_back()
    assert counted(bob) == (4, 4)
    assert call(bob).quota.used == 4


def test_opened_in_redis_and_settled_without_it(bob: Customer, settings: Any) -> None:
    held = reserve(bob, 9)
    drain.drain()
    with no_redis(settings):
        assert settle(again(held), 4).charged == 4
    redis_is_back()
    assert settle(again(held), 4).charged == 4  # the client asks again: Redis still held it
    assert counted(bob) == (4, 4)
    assert call(bob).quota.used == 4


@pytest.mark.django_db(transaction=True)
def test_what_postgres_has_ended_is_not_ended_otherwise_by_redis(bob: Customer, settings: Any) -> None:
    held = reserve(bob, 9)
    drain.drain()
    with no_redis(settings):
        assert settle(again(held), 4).charged == 4
        with pytest.raises(Over):
            heartbeat(again(held), 5)
    redis_is_back()
    with pytest.raises(Over) as refused:
        settle(again(held), 5)
    assert refused.value.parameters == {"state": "settled", "tokens_charged": 4}
    assert counted(bob) == (4, 4)


def test_nobody_knows_of_it_while_redis_is_gone_and_it_is_not_drained(bob: Customer, settings: Any) -> None:
    held = reserve(bob, 9)
    with no_redis(settings), pytest.raises(RedisUnreachable):
        again(held)
    redis_is_back()
    assert settle(again(held), 4).charged == 4


def test_the_view_that_has_opened_it_settles_it_all_the_same(bob: Customer, settings: Any) -> None:
    held = reserve(bob, 9)
    with no_redis(settings):
        assert settle(held, 4).charged == 4
    redis_is_back()
    assert counted(bob) == (4, 4)
    assert row(held).state == "settled"


def test_opened_without_redis_and_settled_with_it(bob: Customer, settings: Any) -> None:
    with no_redis(settings):
        held = reserve(bob, 9)
    redis_is_back()
    assert heartbeat(again(held), 12) == 12
    assert settle(again(held), 11).charged == 11
    assert counted(bob) == (11, 11)
    assert call(bob).quota.used == 11


def test_children_without_redis(bob: Customer, settings: Any) -> None:
    with no_redis(settings):
        parent = reserve(bob, 20)
        child = reserve(bob, 5, parent=parent.id)
        with pytest.raises(BoundExceeded):
            reserve(bob, 16, parent=parent.id)
        assert settle(child, 3).charged == 3
        assert settle(parent, 10).charged == 10
    redis_is_back()
    assert counted(bob) == (13, 13)


@pytest.mark.django_db(transaction=True)
def test_redis_has_lost_everything(bob: Customer) -> None:
    held = reserve(bob, 9)
    drain.drain()
    client().flushall()
    assert call(bob).quota.used == 9
    assert settle(again(held), 4).charged == 4
    assert counted(bob) == (4, 4)
    assert call(bob).quota.used == 4


def test_what_redis_has_lost_expires_by_its_row(bob: Customer) -> None:
    held = reserve(bob, 9, expires_in=60)
    drain.drain()
    client().flushall()
    now = timezone.now()
    assert sweep.expire_due(now + timedelta(minutes=60)) == 0
    assert sweep.expire_due(now + timedelta(minutes=62)) == 1
    assert row(held).state == "expired"
    assert counted(bob) == (0, 0)


def test_a_lost_answer_leaves_no_orphan(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    call(bob)  # or the answer that is lost is that of its publication
    with lost_replies(monkeypatch):
        held = reserve(bob, 9)  # Redis has charged it, nobody heard; PostgreSQL decides
    assert reservations.read(store(), bob.account, held.id) is not None
    redis_is_back()
    assert counted(bob) == (9, 9)
    settle(again(held), 4)
    sweep.expire_due(timezone.now() + timedelta(hours=2))
    assert counted(bob) == (4, 4)
    assert not Reservation.objects.filter(state="open").exists()


def test_redis_lets_go_of_what_it_seemed_to_hold_as_well(
    bob: Customer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is due there while it lives in PostgreSQL, which then ends it while Redis is away."""
    settings.RATELIMIT_CLOCK, now = "process", timezone.now()
    call(bob)
    with lost_replies(monkeypatch):
        held = reserve(bob, 9, expires_in=60)
    redis_is_back()
    progress.heartbeat(again(held), {"tokens": 5}, now + timedelta(seconds=50))
    assert sweep.expire_due(now + timedelta(seconds=70)) == 0
    with no_redis(settings):
        assert settle(again(held), 4).charged == 4
    redis_is_back()
    assert sweep.expire_due(now + timedelta(seconds=80)) == 0
    kept = reservations.read(store(), bob.account, held.id)
    assert kept is not None
    assert (kept.state, kept.charged) == (b"settled", 4)
    assert client().zcard(held.place.names.due) == 0
    assert counted(bob) == (4, 4)


def test_the_answer_to_the_settling_is_lost(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    held = reserve(bob, 9)
    drain.drain()
    with lost_replies(monkeypatch):
        assert settle(held, 4).charged == 4
    redis_is_back()
    assert settle(again(held), 4).charged == 4
    assert counted(bob) == (4, 4)
    assert call(bob).quota.used == 4


def test_a_damaged_one_is_settled_by_the_log(bob: Customer) -> None:
    held = reserve(bob, 9)
    drain.drain()
    name = held.place.names.reservation
    client().delete(name)
    client().set(name, "nonsense")
    assert settle(again(held), 4).charged == 4
    assert counted(bob) == (4, 4)


def test_what_postgres_has_released_is_forgotten(bob: Customer, settings: Any) -> None:
    held = reserve(bob, 9, expires_in=60)
    drain.drain()
    with no_redis(settings):
        finishing.release(again(held), timezone.now())
    redis_is_back()
    settings.RATELIMIT_CLOCK = "process"
    assert sweep.expire_due(timezone.now() + timedelta(minutes=2)) == 0
    assert client().zcard(held.place.names.due) == 0
    assert counted(bob) == (0, 0)
