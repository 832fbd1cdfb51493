"""A reservation from its charge to its one end."""

from __future__ import annotations

from datetime import datetime

import pytest
from django.utils import timezone

from billing.models import Feature, LimitOverride, ModelPrice
from tests.cast import Customer, call
from tests.clock import moved_by_hand
from tests.usage.metering.reservations.held import FEATURE, again, counted, heartbeat, reserve, row, settle
from usage.metering.reservations import finishing, sweep
from usage.metering.reservations.ends import Report, Settlement
from usage.metering.reservations.held import Held
from usage.metering.reservations.refusals import BoundExceeded, Expired, NotAdmitted, Over

pytestmark = pytest.mark.django_db


def used(customer: Customer) -> int:
    return call(customer).quota.used


class TestSettle:
    @pytest.mark.parametrize(
        ("real", "charged", "released", "uncollected"),
        [(0, 0, 9, 0), (4, 4, 5, 0), (9, 9, 0, 0), (10, 10, 0, 0), (500, 500, 0, 0), (501, 500, 0, 1)],
    )
    def test_what_was_used_stays_charged(
        self, bob: Customer, real: int, charged: int, released: int, uncollected: int
    ) -> None:
        held = reserve(bob, 9)
        assert used(bob) == 9
        done = settle(held, real)
        assert (done.charged, done.released, done.uncollected) == (charged, released, uncollected)
        assert (done.used, done.remaining) == (charged, 500 - charged)
        assert used(bob) == charged
        assert counted(bob) == (charged, charged)
        ended = row(held)
        assert (ended.state, ended.charged, ended.uncollected) == ("settled", charged, uncollected)

    def test_the_same_again_is_the_same_answer(self, bob: Customer) -> None:
        held = reserve(bob, 9)
        first = settle(held, 4)
        assert settle(again(held), 4) == first
        assert counted(bob) == (4, 4)

    def test_other_numbers_are_refused_and_told_what_it_cost(self, bob: Customer) -> None:
        held = reserve(bob, 9)
        settle(held, 4)
        with pytest.raises(Over) as refused:
            settle(again(held), 5)
        assert refused.value.parameters == {"state": "settled", "tokens_charged": 4}

    def test_nobody_reported_anything(self, bob: Customer) -> None:
        done = settle(reserve(bob, 9), None, outcome="failed")
        assert (done.charged, done.released) == (0, 9)

    def test_nobody_reported_but_a_heartbeat_did(self, bob: Customer) -> None:
        held = reserve(bob, 9)
        heartbeat(held, 6)
        done = settle(held, None, outcome="aborted")
        assert (done.charged, done.released) == (6, 3)
        assert row(held).estimated

    def test_zero_that_was_reported_is_zero(self, bob: Customer) -> None:
        held = reserve(bob, 9)
        heartbeat(held, 6)
        assert settle(held, 0).charged == 0
        assert not row(held).estimated


class TestRelease:
    def test_all_of_it_comes_back(self, bob: Customer) -> None:
        held = reserve(bob, 9)
        finishing.release(held, timezone.now())
        assert (used(bob), counted(bob), row(held).state) == (0, (0, 0), "released")

    def test_twice_is_once(self, bob: Customer) -> None:
        held = reserve(bob, 9)
        finishing.release(held, timezone.now())
        finishing.release(again(held), timezone.now())
        assert counted(bob) == (0, 0)

    def test_a_settled_one_is_not_released(self, bob: Customer) -> None:
        held = reserve(bob, 9)
        settle(held, 3)
        with pytest.raises(Over):
            finishing.release(again(held), timezone.now())

    def test_a_released_one_is_not_settled(self, bob: Customer) -> None:
        held = reserve(bob, 9)
        finishing.release(held, timezone.now())
        with pytest.raises(Over):
            settle(again(held), 3)


class TestExpiry:
    @pytest.mark.parametrize(("after", "expires"), [(59.999, 0), (60, 1), (60.001, 1)])
    def test_at_its_instant(self, bob: Customer, after: float, expires: int) -> None:
        with moved_by_hand() as clock:
            held = reserve(bob, 9, expires_in=60)
            clock.tick(after)
            assert sweep.expire_due(timezone.now()) == expires
            assert row(held).state == ("expired" if expires else "open")

    def test_by_its_last_heartbeat(self, bob: Customer) -> None:
        with moved_by_hand() as clock:
            held = reserve(bob, 9, expires_in=60)
            clock.tick(50)
            heartbeat(held, 7)
            clock.tick(59)
            assert sweep.expire_due(timezone.now()) == 0
            clock.tick(1)
            assert sweep.expire_due(timezone.now()) == 1
            ended = row(held)
            assert (ended.state, ended.charged, ended.estimated) == ("expired", 7, True)

    def test_settled_too_late_it_says_what_it_was_charged(self, bob: Customer) -> None:
        with moved_by_hand() as clock:
            held = reserve(bob, 9, expires_in=60)
            heartbeat(held, 5)
            clock.tick(60)
            with pytest.raises(Expired) as refused:
                settle(held, 6)
            assert refused.value.parameters == {"state": "expired", "tokens_charged": 5}
            assert counted(bob) == (5, 5)

    def test_a_heartbeat_too_late(self, bob: Customer) -> None:
        with moved_by_hand() as clock:
            held = reserve(bob, 9, expires_in=60)
            clock.tick(61)
            with pytest.raises(Expired):
                heartbeat(held, 5)
            assert row(held).charged == 0

    def test_a_heartbeat_too_late_tells_how_it_has_ended_meanwhile(
        self, bob: Customer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By a process whose clock is a moment behind, while the heartbeat finds that it is due."""
        expire = finishing.expire

        def expire_second(held: Held, now: datetime) -> Settlement | None:
            clock.tick(-2)
            finishing.settle(held, Report({"tokens": 4}), timezone.now())
            clock.tick(2)
            return expire(held, now)

        with moved_by_hand() as clock:
            held = reserve(bob, 9, expires_in=60)
            clock.tick(61)
            monkeypatch.setattr(finishing, "expire", expire_second)
            with pytest.raises(Over) as refused:
                heartbeat(held, 5)
            assert refused.value.parameters == {"state": "settled", "tokens_charged": 4}
            assert refused.value.code == "already_settled"
            assert row(held).state == "settled"


class TestHeartbeat:
    def test_above_the_bound_it_takes_the_difference(self, bob: Customer) -> None:
        held = reserve(bob, 9)
        assert heartbeat(held, 12) == 12
        assert (used(bob), row(held).bound, counted(bob)) == (12, 12, (12, 12))
        assert settle(held, 11).released == 1
        assert counted(bob) == (11, 11)

    def test_what_the_quota_has_not_is_refused_and_the_progress_is_kept(self, bob: Customer) -> None:
        held = reserve(bob, 490)
        reserve(bob, 5)
        with pytest.raises(BoundExceeded) as refused:
            heartbeat(held, 500)
        assert refused.value.parameters["tokens_lacking"] == 5
        assert settle(held, None, outcome="aborted").charged == 495
        assert counted(bob) == (500, 500)


class TestReserve:
    def test_the_quota_refuses_one_more(self, bob: Customer) -> None:
        reserve(bob, 500)
        with pytest.raises(NotAdmitted):
            reserve(bob, 1)

    def test_the_plan_lacks_the_capability(self, alice: Customer) -> None:
        with pytest.raises(NotAdmitted):
            reserve(alice, 1, "ai_agent_query")

    @pytest.mark.django_db(transaction=True)
    def test_what_is_above_the_bound_is_judged_by_the_quota_of_now(self, bob: Customer) -> None:
        held, other = reserve(bob, 9), reserve(bob, 9)
        override = LimitOverride.objects.create(account=bob.user, limit="quota", maximum=30, reason="a test")
        assert settle(held, 40).charged == 21
        override.delete()
        assert settle(other, 40).charged == 40

    def test_settled_next_month_it_is_of_its_own_window(self, bob: Customer) -> None:
        with moved_by_hand("2031-03-31T23:59:59Z") as clock:
            held = reserve(bob, 9)
            clock.tick(2)
            assert used(bob) == 0
            assert settle(held, 12).charged == 12
            assert used(bob) == 0


def test_a_heartbeat_in_tokens_above_a_bound_in_units(bob: Customer) -> None:
    rates = {"input": 1000, "cache_read": 0, "cache_write": 0, "output": 0}
    ModelPrice.objects.create(feature=Feature.objects.get(code=FEATURE), model="m", **rates)
    held = reserve(bob, units={"input": 9_000}, model="m")
    with pytest.raises(BoundExceeded) as refused:
        heartbeat(held, 10_000)
    assert refused.value.parameters["affordable"] == {"tokens": 500}


@pytest.mark.django_db(transaction=True)
def test_a_price_that_changes_between_changes_nothing(bob: Customer) -> None:
    feature, free = Feature.objects.get(code=FEATURE), {"cache_read": 0, "cache_write": 0, "output": 0, "model": "m"}
    with moved_by_hand() as clock:
        ModelPrice.objects.create(feature=feature, input=1000, valid_from=timezone.now(), **free)
        clock.tick(1)
        held = reserve(bob, units={"input": 9_000}, model="m")
        ModelPrice.objects.create(feature=feature, input=5000, valid_from=timezone.now(), **free)
        clock.tick(1)
        assert settle(again(held), units={"input": 4_000}).charged == 4
        assert reserve(bob, units={"input": 4_000}, model="m").charge.tokens == 20


@pytest.mark.django_db(transaction=True)
def test_one_that_is_due_while_its_account_keeps_changing_is_named_and_tried_again(
    bob: Customer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with moved_by_hand() as clock:
        held = reserve(bob, 9)
        clock.tick(3600)
        with monkeypatch.context() as changing:
            terms_of = finishing.terms_of
            changing.setattr(finishing, "terms_of", lambda *about: terms_of(*about)._replace(version=b"0"))
            assert finishing.expire(again(held), timezone.now()) is None
        assert f"reservation {held.id} expires later" in caplog.text
        assert row(held).state == "open"
        assert sweep.expire_due(timezone.now()) == 1
        assert row(held).state == "expired"
