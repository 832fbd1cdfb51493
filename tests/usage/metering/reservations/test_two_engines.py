"""A reservation has one holder: what the other engine is told while that cannot be asked moves no tokens twice."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from billing.entitlements.callers import Caller
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import client
from tests.cast import Customer, call
from tests.clock import moved_by_hand
from tests.outages import lost_replies, no_redis
from tests.usage.metering.reservations.held import again, counted, heartbeat, nothing_drifts, reserve, row, settle
from usage.drain import drain
from usage.log.batch import decode
from usage.log.events import MalformedEvent
from usage.metering.reservations import finishing, opening, sweep
from usage.metering.reservations.held import find
from usage.metering.reservations.opening import Asked
from usage.metering.reservations.refusals import BoundExceeded, NoParent, Over
from usage.models import Reservation
from usage.sync import outage

pytestmark = pytest.mark.django_db(transaction=True)


def redis_is_back() -> None:
    outage.breaker.attempt(1)


def everything_agrees(bob: Customer, tokens: int) -> None:
    assert counted(bob) == (tokens, tokens)
    assert call(bob).quota.used == tokens
    charged = [each.charged for each in Reservation.objects.exclude(state="open")]
    assert sum(number or 0 for number in charged) == tokens
    assert nothing_drifts()


def test_a_heartbeat_without_redis_then_a_settle_in_redis(bob: Customer, settings: Any) -> None:
    held = reserve(bob, 9)
    drain.drain()
    with no_redis(settings):
        assert heartbeat(again(held), 7) == 9
        with pytest.raises(BoundExceeded):
            heartbeat(again(held), 15)
    redis_is_back()
    assert settle(again(held), 15).charged == 15
    everything_agrees(bob, 15)


def test_a_heartbeat_without_redis_counts_when_it_expires(bob: Customer, settings: Any) -> None:
    with moved_by_hand() as clock:
        held = reserve(bob, 9, expires_in=60)
        drain.drain()
        clock.tick(30)
        with no_redis(settings):
            heartbeat(again(held), 7)
        redis_is_back()
        clock.tick(59)
        assert sweep.expire_due(timezone.now()) == 0
        clock.tick(1)
        assert sweep.expire_due(timezone.now()) == 1
        everything_agrees(bob, 7)


def test_an_extension_that_waits_in_the_stream_when_postgres_ends_it(bob: Customer, settings: Any) -> None:
    held = reserve(bob, 9)
    drain.drain()
    heartbeat(held, 15)
    with no_redis(settings):
        assert settle(held, 15).charged == 15
    redis_is_back()
    everything_agrees(bob, 15)


def test_the_answer_to_a_heartbeat_is_lost(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    held = reserve(bob, 9)
    drain.drain()
    with lost_replies(monkeypatch), pytest.raises(BoundExceeded):
        heartbeat(held, 15)
    redis_is_back()
    assert settle(again(held), 15).charged == 15
    everything_agrees(bob, 15)


def test_a_child_is_ended_without_redis(bob: Customer, settings: Any) -> None:
    parent = reserve(bob, 10)
    child = reserve(bob, 4, parent=parent.id)
    drain.drain()
    with no_redis(settings):
        assert settle(again(child), 1).charged == 1
    redis_is_back()
    assert settle(again(parent), 0).charged == 0
    everything_agrees(bob, 1)


def test_the_answer_to_a_childs_end_is_lost(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = reserve(bob, 10)
    child = reserve(bob, 4, parent=parent.id)
    drain.drain()
    with lost_replies(monkeypatch):
        assert settle(child, 1).charged == 1
    redis_is_back()
    assert settle(again(parent), 3).charged == 3
    everything_agrees(bob, 4)


def test_a_parent_that_redis_holds_takes_no_child_without_it(bob: Customer, settings: Any) -> None:
    parent = reserve(bob, 20)
    drain.drain()
    with no_redis(settings), pytest.raises(NoParent):
        reserve(bob, 5, parent=parent.id)
    redis_is_back()
    assert settle(again(parent), 10).charged == 10
    everything_agrees(bob, 10)


def test_a_child_is_opened_of_what_postgres_holds(bob: Customer, settings: Any) -> None:
    with no_redis(settings):
        parent = reserve(bob, 10)
    redis_is_back()
    child = reserve(bob, 4, parent=parent.id)
    assert heartbeat(again(child), 5) == 5
    assert settle(again(child), 3).charged == 3
    assert settle(again(parent), 5).charged == 5
    everything_agrees(bob, 8)


def test_postgres_has_ended_it_and_other_calls_came_between(bob: Customer, settings: Any) -> None:
    held = reserve(bob, 9)
    drain.drain()
    with no_redis(settings):
        settle(again(held), 4)
    redis_is_back()
    call(bob)
    with pytest.raises(Over):
        settle(again(held), 5)
    everything_agrees(bob, 4)


def test_a_child_of_the_next_month_is_of_its_parents_window(bob: Customer) -> None:
    with moved_by_hand("2031-03-31T23:59:59Z") as clock:
        parent = reserve(bob, 10)
        clock.tick(2)
        child = reserve(bob, 4, parent=parent.id)
        assert row(child).bound == 4
        assert settle(child, 3).charged == 3
        assert settle(again(parent), 2).charged == 2
        drain.drain()
        assert call(bob).quota.used == 0
        assert nothing_drifts()


def test_a_child_that_was_refused_leaves_nothing_open(bob: Customer) -> None:
    parent = reserve(bob, 3)
    with pytest.raises(BoundExceeded):
        reserve(bob, 4, parent=parent.id)
    drain.drain()
    refused = Reservation.objects.exclude(pk=parent.id).get()
    assert (refused.state, refused.charged) == ("released", 0)
    with pytest.raises(Over):
        heartbeat(find(bob.account, str(refused.pk)), 1)
    assert settle(again(parent), 3).charged == 3
    everything_agrees(bob, 3)


def test_what_one_cannot_find_stops_no_other_from_expiring(bob: Customer) -> None:
    with moved_by_hand() as clock:
        held = reserve(bob, 9, expires_in=60)
        client().zadd(held.place.names.due, {f"{bob.account}:019ab0c4-7f2e-7cc3-98c4-dc0c0c07398f": 1})
        clock.tick(60)
        assert sweep.expire_due(timezone.now()) == 1
        assert client().zcard(held.place.names.due) == 0


def test_redis_gone_in_the_midst_expires_nothing(bob: Customer, settings: Any) -> None:
    with moved_by_hand() as clock:
        held = reserve(bob, 9, expires_in=60)
        drain.drain()
        clock.tick(7200)
        with no_redis(settings):
            assert finishing.expire(again(held), timezone.now()) is None
        redis_is_back()
        assert row(held).state == "open"


@pytest.mark.parametrize(
    "wrong", [{"run": "r" * 65}, {"expires_in": 0}, {"expires_in": 3601}, {"tokens": -1}, {"tokens": 10**12}]
)
def test_a_view_that_asks_for_nonsense_is_told(bob: Customer, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        opening.reserve(Caller(bob.account), Asked("trace_start", **{"tokens": 1} | wrong), timezone.now())
    assert counted(bob) == (0, 0)


@pytest.mark.parametrize("wrong", [{"outcome": "client_disconnected"}, {"units": {"tokens": -3}}])
def test_a_view_that_reports_nonsense_is_told(bob: Customer, wrong: dict[str, Any]) -> None:
    held = reserve(bob, 9)
    with pytest.raises(ValueError):
        settle(held, **wrong)
    assert settle(held, 4).charged == 4


@pytest.mark.parametrize(
    "metadata",
    [
        "null",
        '{"expires_at":999999999999999}',
        '{"expires_at":1,"parent":"urn:uuid:019ab0c4-7f2e-7cc3-98c4-dc0c0c07398f"}',
        '{"expires_at":1,"rates":[1]}',
        '{"expires_at":1,"run":7}',
    ],
)
def test_an_event_that_no_row_could_be_made_of_is_set_aside(metadata: str) -> None:
    event = "019ab0c4-7f2e-7cc3-98c4-dc0c0c07398f"
    text = f'[1,"{event}","charge",1,1793491200,1796083200,"trace_start",9,1795912807329,"reserve","",{metadata}]'
    with pytest.raises(MalformedEvent):
        decode(text.encode())


def test_redis_is_restarted_with_older_data(bob: Customer) -> None:
    held = reserve(bob, 9)
    name = held.place.names.reservation
    before = client().dump(name)
    assert heartbeat(held, 15) == 15
    drain.drain()
    client().restore(name, 0, before, replace=True)
    assert settle(again(held), 12).charged == 12
    everything_agrees(bob, 12)


def test_nobody_can_say_without_either(bob: Customer, settings: Any) -> None:
    held = reserve(bob, 9)
    with no_redis(settings), pytest.raises(RedisUnreachable):
        again(held)
    redis_is_back()


def test_a_child_whose_parent_redis_has_lost_draws_of_it_all_the_same(bob: Customer) -> None:
    parent = reserve(bob, 20)
    child = reserve(bob, 5, parent=parent.id)
    drain.drain()
    client().delete(parent.place.names.reservation)
    assert settle(again(child), 6).charged == 6
    assert settle(again(parent), 10).charged == 10
    everything_agrees(bob, 16)


def test_old_data_in_which_it_is_open_charge_nothing_again(bob: Customer) -> None:
    held = reserve(bob, 9)
    drain.drain()
    name = held.place.names.reservation
    old = client().dump(name)
    assert settle(held, 4).charged == 4
    drain.drain()
    client().delete(held.place.marker)
    client().restore(name, 0, old, replace=True)
    with pytest.raises(Over):
        settle(again(held), 9)
    everything_agrees(bob, 4)
