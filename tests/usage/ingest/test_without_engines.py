"""Redis or PostgreSQL gone: recorded all the same, or refused in a way that makes sending again safe."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError, connections

from billing.fence import push
from tests.cast import Customer
from tests.contract import problem
from tests.outages import lose_postgres, lost_replies, no_redis
from tests.usage.api.test_events import CURRENT, EVENTS, answer, event, send
from tests.usage.histories import sums
from tests.usage.without_redis import TRACE, judged_by_redis, one_process, redis_is_back
from usage.ingest import received, record
from usage.models import ReceivedEvent, UsageLog

__all__ = ["lose_postgres", "one_process"]
pytestmark = pytest.mark.django_db(transaction=True)


class TestWithoutRedis:
    def test_it_is_recorded_and_redis_learns_of_it_when_it_is_back(
        self, dave: Customer, alice: Customer, settings: Any
    ) -> None:
        assert alice.api.get(TRACE).status_code == 200
        with no_redis(settings):
            assert answer(dave, *[event(str(n), alice.account) for n in range(8)])["accepted"] == 8
            assert alice.api.get(TRACE).status_code == 200  # 10 of before are not drained
        redis_is_back()
        assert judged_by_redis(alice) == 100
        assert alice.api.get(TRACE).status_code == 429

    def test_it_is_lost_between_the_commit_and_the_push(
        self, dave: Customer, alice: Customer, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert [each.api.get(CURRENT).status_code for each in (alice, dave)] == [200, 200]
        real = push.push

        def too_late(subjects: Any) -> int:
            with no_redis(settings):
                return real(subjects)

        with monkeypatch.context() as patched:
            patched.setattr(record.push, "push", too_late)
            assert answer(dave, *[event(str(n), alice.account) for n in range(10)])["accepted"] == 10
        push.sweep()  # beat's
        assert alice.api.get(TRACE).status_code == 429

    def test_its_answers_are_lost(self, dave: Customer, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        with lost_replies(monkeypatch):
            assert answer(dave, event("a", alice.account))["accepted"] == 1
        redis_is_back()
        assert judged_by_redis(alice) == 10


class TestWithoutPostgres:
    def test_503_and_sent_again_it_is_recorded_once(
        self, dave: Customer, lose_postgres: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer(dave, event("a"))
        lose_postgres()
        response = send(dave, event("a"), event("b"))
        assert problem(response, 503, "unavailable") and int(response["Retry-After"]) >= 1
        monkeypatch.undo()
        connections["default"].close()
        body = answer(dave, event("a"), event("b"))
        assert (body["accepted"], body["duplicates"]) == (1, 1)
        assert sums(dave.account) == {20}

    @pytest.mark.parametrize("committed", [True, False])
    def test_the_answer_to_the_commit_is_lost(
        self, dave: Customer, monkeypatch: pytest.MonkeyPatch, committed: bool
    ) -> None:
        answer(dave)
        real = connections["default"].connection.commit

        def commit() -> None:
            if committed:
                real()
            connections["default"].connection.close()
            raise OperationalError("the connection was lost")

        monkeypatch.setattr(connections["default"], "_commit", commit)
        problem(send(dave, event("a")), 503, "unavailable")
        monkeypatch.undo()
        connections["default"].close()
        body = answer(dave, event("a"))
        assert (body["accepted"], body["duplicates"]) == ((0, 1) if committed else (1, 0))
        assert sums(dave.account) == {10}

    def test_nothing_of_a_batch_stays_that_fails_within(self, dave: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        with monkeypatch.context() as failing:
            failing.setattr(record, "store", lambda _: (_ for _ in ()).throw(OperationalError("gone")))
            problem(send(dave, event("a"), event("b")), 503, "unavailable")
        assert not ReceivedEvent.objects.exists() and not UsageLog.objects.exists()
        assert received.known([(dave.account, "", "a")]) == set()
        assert EVENTS and answer(dave, event("a"), event("b"))["accepted"] == 2
