"""What was spent of a top-up is found out once, by whoever comes first, and by nobody who knows too little."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from django.utils import timezone

from billing.fence import push
from billing.models import TokenTopUp
from billing.rules.periods import month_window
from billing.subscriptions import lapsed_top_ups
from ratelimit import process_state
from tests.cast import Customer, Staff
from tests.outages import lose_postgres, no_redis
from tests.top_ups import ARRIVED, TRACE, ann, clock, exhaust, spent, stands, top_up, use
from tests.usage.without_redis import one_process, redis_is_back
from usage.drain import drain

__all__ = ["ann", "clock", "lose_postgres", "one_process"]
pytestmark = pytest.mark.django_db(transaction=True)


class TestFoundOut:
    def test_once_and_for_everybody(self, ann: Customer, clock: Any) -> None:
        top_up(ann)
        use(ann, 40)
        clock.tick(timedelta(days=3))
        stands(ann)
        assert spent() == [None], "a call of before may still be on its way"
        clock.tick(ARRIVED)
        stands(ann)
        assert spent() == [40]
        process_state.start_anew()
        assert stands(ann) == (40, 140, 100)
        call_command("init_redis_keys", verbosity=0)
        assert stands(ann) == (40, 140, 100)

    def test_with_a_call_that_was_still_on_its_way(self, ann: Customer, clock: Any) -> None:
        """Its process' clock was behind."""
        top_up(ann)
        use(ann, 30)
        clock.tick(timedelta(days=3))
        assert stands(ann) == (30, 130, 100)
        clock.tick(-0.001)
        use(ann, 10)
        clock.tick(ARRIVED + 0.001)
        assert stands(ann) == (40, 140, 100)
        assert spent() == [40]

    def test_not_by_one_who_knows_too_little(self, ann: Customer, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Somebody gives another top-up between the reading of the facts and the storing."""
        top_up(ann)
        use(ann, 40)
        clock.tick(timedelta(days=3, seconds=ARRIVED))
        real, at = drain.catch_up, timezone.now()

        def meanwhile(*arguments: Any) -> bool:
            if TokenTopUp.objects.count() == 1:
                TokenTopUp.objects.create(
                    account=ann.user, tokens=10, starts_at=at - timedelta(days=4), expires_at=at - timedelta(days=1)
                )
            return real(*arguments)

        monkeypatch.setattr(drain, "catch_up", meanwhile)
        assert [stands(ann) for _ in range(2)] == [(40, 140, 100)] * 2
        assert spent() == [30, 10]

    def test_anew_where_the_top_ups_change(self, ann: Customer, clock: Any) -> None:
        first = top_up(ann)
        use(ann, 40)
        clock.tick(timedelta(days=4))
        stands(ann)
        assert spent() == [40]
        other = TokenTopUp.objects.create(
            account=ann.user, tokens=30, starts_at=first.starts_at, expires_at=first.starts_at + timedelta(days=1)
        )
        assert spent() == [None, None]
        assert stands(ann) == (40, 140, 100)
        assert spent() == [10, 30]
        other.delete()
        assert stands(ann) == (40, 140, 100)
        TokenTopUp.objects.update(expires_at=timezone.now() + timedelta(days=1))
        push.sweep()
        assert stands(ann) == (40, 150, 110)
        clock.tick(timedelta(days=2))
        assert stands(ann) == (40, 140, 100)

    def test_also_after_the_window_for_those_who_bill_it(self, ann: Customer, clock: Any, settings: Any) -> None:
        window = month_window(timezone.now())
        top_up(ann)
        use(ann, 40)
        top_up(ann, 50, 99)
        clock.move_to("2031-04-01T00:00:00Z")
        with no_redis(settings):
            lapsed_top_ups.count_closed(ann.account, window, timezone.now())
        assert spent() == [None, None]
        redis_is_back()
        for _ in range(2):
            lapsed_top_ups.count_closed(ann.account, window, timezone.now())
            assert spent() == [40, None], "the other one has not lapsed within it"

    def test_and_shown_to_staff_who_cannot_write_it(self, clock: Any, superuser: Staff, ann: Customer) -> None:
        row = top_up(ann)
        use(ann, 40)
        clock.tick(timedelta(days=4))
        stands(ann)
        page = f"billing/tokentopup/{row.pk}/change/"
        assert "spent" in superuser.open(page).context["adminform"].readonly_fields
        fields = {"tokens": 50, "reason": "x", "spent": 1}
        fields |= {"starts_at_0": "2031-03-05", "starts_at_1": "12:00:00"}
        fields |= {"expires_at_0": "2031-03-08", "expires_at_1": "12:00:00"}
        assert superuser.send(page, **fields).status_code == 302
        assert spent() == [None]
        assert stands(ann) == (40, 140, 100)
        assert spent() == [40]


class TestWithoutAnEngine:
    def test_redis(self, ann: Customer, clock: Any, settings: Any) -> None:
        """What it has not handed over yet is neither spent nor used, for now."""
        top_up(ann)
        use(ann, 20)
        drain.drain()
        use(ann, 20)
        clock.tick(timedelta(days=3))
        with no_redis(settings):
            assert stands(ann) == (20, 120, 100)
            use(ann, 50)
            assert stands(ann) == (70, 120, 50)
        redis_is_back()
        clock.tick(ARRIVED)
        assert stands(ann) == (90, 140, 50)
        assert spent() == [40]
        assert exhaust(ann) == 50

    def test_redis_away_is_asked_about_once_in_a_while(
        self, ann: Customer, clock: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        top_up(ann)
        clock.tick(timedelta(days=3))
        asked: list[int] = []
        real = drain.catch_up
        monkeypatch.setattr(drain, "catch_up", lambda *given: asked.append(1) or real(*given))
        with no_redis(settings):
            for _ in range(10):
                assert ann.api.get(TRACE).status_code == 200
            assert len(asked) == 1
            clock.tick(6)
            assert ann.api.get(TRACE).status_code == 429
            assert len(asked) == 2

    def test_postgres(self, ann: Customer, clock: Any, lose_postgres: Any) -> None:
        """Nothing is known to be spent, and the account is served all the same."""
        top_up(ann)
        use(ann, 40)
        lose_postgres()
        clock.tick(timedelta(days=3))
        assert stands(ann) == (40, 100, 60)
        assert stands(ann) == (40, 100, 60)

    def test_postgres_comes_back(self, ann: Customer, clock: Any, lose_postgres: Any, monkeypatch: Any) -> None:
        top_up(ann)
        use(ann, 40)
        with monkeypatch.context():
            lose_postgres()
            clock.tick(timedelta(days=3))
            assert stands(ann) == (40, 100, 60)
        monkeypatch.undo()
        clock.tick(6)
        assert stands(ann) == (40, 140, 100)

    def test_a_fence_that_was_not_pushed(self, ann: Customer, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        top_up(ann)
        use(ann, 40)
        clock.tick(timedelta(days=3, seconds=ARRIVED))
        with monkeypatch.context() as dying:
            dying.setattr(push, "push", lambda _: 0)
            assert stands(ann) == (40, 140, 100)
        push.sweep()
        assert stands(ann) == (40, 140, 100)


class TestAtOnce:
    def test_sixteen_threads_over_the_edge(self, ann: Customer, clock: Any) -> None:
        """Before it 150, after it the plan's 100 and what was spent: never more, and no refusal too early."""
        top_up(ann)
        use(ann, 30)
        edge = timezone.now() + timedelta(days=3)

        def call(number: int) -> int:
            try:
                if number % 8 == 0:
                    clock.move_to(edge + timedelta(milliseconds=number - 32))
                return int(ann.api.get(TRACE).status_code)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(16) as threads:
            statuses = list(threads.map(call, range(64)))
        clock.move_to(edge + timedelta(seconds=ARRIVED))
        used, quota, _ = stands(ann)
        assert used == 30 + 10 * statuses.count(200)
        assert 100 <= quota <= 150
        assert used <= quota
        assert exhaust(ann) == quota - used

    def test_all_threads_at_the_edge_count_once(self, ann: Customer, clock: Any, monkeypatch: Any) -> None:
        top_up(ann)
        use(ann, 40)
        clock.tick(timedelta(days=3))
        asked: list[int] = []
        real = drain.catch_up
        monkeypatch.setattr(drain, "catch_up", lambda *given: asked.append(1) or real(*given))

        def call(_: int) -> int:
            try:
                return int(ann.api.get(TRACE).status_code)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(16) as threads:
            statuses = list(threads.map(call, range(32)))
        assert (statuses.count(200), statuses.count(429)) == (10, 22)
        assert len(asked) == 1
