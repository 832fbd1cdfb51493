"""Children draw from their parent's bound, and give back to it."""

from __future__ import annotations

import pytest
from django.utils import timezone

from tests.cast import Customer, call
from tests.clock import moved_by_hand
from tests.usage.metering.reservations.held import again, counted, heartbeat, reserve, row, settle
from usage.metering.reservations import finishing, sweep
from usage.metering.reservations.refusals import BoundExceeded, ChildrenOpen, NoParent

pytestmark = pytest.mark.django_db


def test_a_child_takes_nothing_of_the_quota(bob: Customer) -> None:
    parent = reserve(bob, 20)
    child = reserve(bob, 5, parent=parent.id)
    assert call(bob).quota.used == 20
    assert (row(parent).bound, row(child).bound) == (15, 5)
    assert settle(child, 3).charged == 3
    assert row(parent).bound == 17
    assert settle(again(parent), 10).charged == 10
    assert counted(bob) == (13, 13)


def test_a_child_that_names_no_run_is_in_its_parents(bob: Customer) -> None:
    parent = reserve(bob, 20, run="r-81")
    child = reserve(bob, 9, parent=parent.id)
    below, other = reserve(bob, 3, parent=child.id), reserve(bob, 3, parent=parent.id, run="r-82")
    assert [row(held).run for held in (child, below, other)] == ["r-81", "r-81", "r-82"]


def test_a_bound_that_the_parent_has_not_is_refused_and_leaves_nothing(bob: Customer) -> None:
    parent = reserve(bob, 20)
    with pytest.raises(BoundExceeded) as refused:
        reserve(bob, 21, parent=parent.id)
    assert refused.value.parameters["of"] == "parent"
    assert settle(parent, 20).charged == 20
    assert counted(bob) == (20, 20)


def test_above_its_bound_a_child_is_charged_what_its_parent_has(bob: Customer) -> None:
    parent = reserve(bob, 20)
    child = reserve(bob, 5, parent=parent.id)
    done = settle(child, 30)
    assert (done.charged, done.uncollected) == (20, 10)
    assert settle(again(parent), 0).charged == 0
    assert counted(bob) == (20, 20)


def test_a_childs_heartbeat_draws_more_of_its_parent(bob: Customer) -> None:
    parent = reserve(bob, 20)
    child = reserve(bob, 5, parent=parent.id)
    assert heartbeat(child, 8) == 8
    assert row(parent).bound == 12
    with pytest.raises(BoundExceeded):
        heartbeat(child, 21)
    assert counted(bob) == (20, 20)


def test_the_parent_settles_last(bob: Customer) -> None:
    parent = reserve(bob, 20)
    child = reserve(bob, 5, parent=parent.id)
    with pytest.raises(ChildrenOpen):
        settle(parent, 10)
    finishing.release(child, timezone.now())
    assert settle(again(parent), 10).charged == 10
    assert counted(bob) == (10, 10)


@pytest.mark.parametrize("levels", [2, 3])
def test_three_levels_and_no_more(bob: Customer, levels: int) -> None:
    held = reserve(bob, 20)
    for _ in range(levels - 1):
        held = reserve(bob, 5, parent=held.id)
    if levels == 3:
        with pytest.raises(NoParent):
            reserve(bob, 1, parent=held.id)


def test_an_orphan_finds_no_parent(bob: Customer, dave: Customer) -> None:
    with pytest.raises(NoParent):
        reserve(bob, 1, parent="019ab0c4-7f2e-7cc3-98c4-dc0c0c07398f")
    with pytest.raises(NoParent):
        reserve(bob, 1, parent=reserve(dave, 5).id)  # another account's
    parent = reserve(bob, 20)
    settle(parent, 1)
    with pytest.raises(NoParent):
        reserve(bob, 1, parent=parent.id)
    assert counted(bob) == (1, 1)


def test_a_child_expires_with_its_parent(bob: Customer) -> None:
    with moved_by_hand() as clock:
        parent = reserve(bob, 20, expires_in=60)
        child = reserve(bob, 5, parent=parent.id, expires_in=600)
        heartbeat(child, 2)
        clock.tick(60)
        sweep.expire_due(timezone.now())
        assert (row(child).state, row(child).charged) == ("expired", 2)
        assert (row(parent).state, row(parent).charged) == ("expired", 0)
        assert counted(bob) == (2, 2)
