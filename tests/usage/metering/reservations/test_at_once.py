"""Whoever comes first: threads that end one reservation, and many that share a quota."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from tests.cast import Customer, call
from tests.clock import moved_by_hand
from tests.usage.metering.reservations.held import again, counted, heartbeat, nothing_drifts, reserve, row, settle
from usage.drain import drain
from usage.metering.reservations import finishing, without_redis
from usage.metering.reservations.ends import Report, released
from usage.metering.reservations.refusals import NotAdmitted, ReservationRefused

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 16


def at_once(work: Any, times: int) -> list[Any]:
    def one(number: int) -> Any:
        try:
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        return [*pool.map(one, range(times))]


def test_settle_release_and_settle_otherwise_one_wins(bob: Customer) -> None:
    for _ in range(10):
        before = counted(bob)[0]
        held = reserve(bob, 9)

        def end(number: int, held: Any = held) -> int | None:
            try:
                if number % 3 == 0:
                    return finishing.release(again(held), timezone.now()).charged
                return settle(again(held), 3 + number % 3).charged
            except ReservationRefused:
                return None

        won = {charged for charged in at_once(end, 12) if charged is not None}
        assert len(won) == 1
        assert counted(bob) == (before + min(won), before + min(won))
        finished = row(held)
        assert finished.charged == min(won)


def test_its_expiry_and_its_settling_one_wins(bob: Customer) -> None:
    for _ in range(5):
        before, now = counted(bob)[0], timezone.now()
        held = reserve(bob, 9, expires_in=60)
        late = now + timedelta(seconds=90)

        def end(number: int, held: Any = held, late: Any = late) -> None:
            try:
                if number % 2:
                    finishing.settle(again(held), Report({"tokens": 4}), timezone.now())
                else:
                    finishing.expire(again(held), late)
            except ReservationRefused:
                return

        with moved_by_hand(late.isoformat()):
            at_once(end, 8)
        assert row(held).state == "expired"
        assert counted(bob) == (before, before)


def test_the_drain_and_postgres_end_the_same_one(bob: Customer) -> None:
    for _ in range(10):
        before = counted(bob)[0]
        held = reserve(bob, 9)
        drain.drain()
        settle(held, 3)  # in Redis: the drain is to store it

        def end(number: int, held: Any = held) -> None:
            if number:
                without_redis.finish(held, released, 500, timezone.now())
            else:
                drain.drain()

        at_once(end, 2)
        counter, logged = counted(bob)
        assert counter == logged
        assert counter - before in (0, 3)
        assert row(held).charged == counter - before
        assert call(bob).quota.used == counter


def test_no_more_than_the_quota_is_ever_held(bob: Customer) -> None:
    def one(number: int) -> int:
        try:
            reserve(bob, 9)
        except NotAdmitted:
            return 0
        return 9

    assert sum(at_once(one, 64)) == 495
    assert call(bob).quota.used == 495


def test_lives_beside_one_another_break_no_law(bob: Customer) -> None:
    dice = random.Random(15)
    plans = [(dice.randrange(1, 30), dice.randrange(0, 40), dice.random(), dice.random()) for _ in range(96)]

    def life(number: int) -> None:
        bound, real, how, child = plans[number]
        try:
            held = reserve(bob, bound)
        except NotAdmitted:
            return
        assert call(bob).quota.used <= 500
        try:
            if child < 0.5:
                inner = reserve(bob, max(bound // 2, 1), parent=held.id)
                settle(inner, real // 2) if child < 0.3 else finishing.release(inner, timezone.now())
            if how < 0.3:
                heartbeat(again(held), real)
        except ReservationRefused:
            pass
        if how < 0.8:
            settle(again(held), real)
        else:
            finishing.release(again(held), timezone.now())

    at_once(life, len(plans))
    counter, logged = counted(bob)
    assert counter == logged
    assert counter <= 500
    assert call(bob).quota.used == counter
    assert nothing_drifts()
