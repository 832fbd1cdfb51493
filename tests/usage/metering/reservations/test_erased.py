"""What becomes of reservations when their account is erased, or a key of Redis is damaged, or the log grows old."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.erasure import erase
from ratelimit.store import client
from tests.cast import Customer, call
from tests.clock import moved_by_hand
from tests.usage.metering.reservations.held import again, counted, heartbeat, reserve, row, settle
from usage.metering.reservations import sweep
from usage.models import Reservation
from usage.reconciliation import mend

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
def test_an_erased_account_holds_nothing(alice: Customer) -> None:
    parent = reserve(alice, 20, run="a-persons-name")
    child = reserve(alice, 5, parent=parent.id)
    row(child)
    erase.erase(alice.account, timezone.now())
    assert [*Reservation.objects.values_list("state", "run")] == [("released", "")] * 2
    assert counted(alice) == (0, 0)
    assert client().keys("*:r:*") == []


def test_damaged_due_ones_are_mended_and_expire_all_the_same(bob: Customer) -> None:
    held = reserve(bob, 9)
    heartbeat(held, 3)
    client().delete(held.place.names.due)
    client().set(held.place.names.due, "nonsense")
    other = reserve(bob, 9)  # by PostgreSQL: Redis' script refuses
    assert settle(other, 1).charged == 1
    assert [key.name for key in mend.find()] == [held.place.names.due]
    mend.mend(timezone.now())
    assert [*mend.find()] == []
    row(held)
    with moved_by_hand((timezone.now() + timedelta(hours=2)).isoformat()):
        assert sweep.expire_due(timezone.now()) == 1
    assert (row(held).state, row(held).charged) == ("expired", 3)


def test_a_damaged_reservation_is_found_and_mended(bob: Customer) -> None:
    held = reserve(bob, 9)
    name = held.place.names.reservation
    row(held)
    client().delete(name)
    client().set(name, "nonsense")
    assert [key.name for key in mend.find()] == [name]
    mend.mend(timezone.now())
    assert [*mend.find()] == []
    assert settle(again(held), 4).charged == 4
    assert call(bob).quota.used == 4
