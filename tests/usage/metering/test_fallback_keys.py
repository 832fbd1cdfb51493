"""An Idempotency-Key of a call that PostgreSQL decided: before, during and after Redis was out of reach."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from ratelimit.store import client
from tests.cast import Customer
from tests.contract import problem
from tests.outages import no_redis
from tests.usage.histories import admit, sums
from tests.usage.without_redis import (
    SCORE,
    TRACE,
    after_the_longest_request,
    judged_by_redis,
    keyed,
    one_process,
    redis_is_back,
)
from usage.drain import drain
from usage.log.idempotency.key_records import longest_request
from usage.metering import voiding
from usage.models import UsageLog
from usage.reconciliation.second_charges import void_second_charges
from usage.sync import outage

__all__ = ["one_process"]
pytestmark = pytest.mark.django_db


class TestKeys:
    def test_a_replay_is_not_charged_again(self, bob: Customer, settings: Any) -> None:
        with no_redis(settings):
            first, second = keyed(bob), keyed(bob)
            assert keyed(bob, {"other": 1}).status_code == 409
        assert ("Idempotency-Replayed" in first, second["Idempotency-Replayed"]) == (False, "true")
        assert (first["X-Usage-Event"], second["X-Usage-Cost"]) == (second["X-Usage-Event"], "0")
        assert sums(bob.account) == {2}

    def test_redis_knows_the_key_when_it_is_back(self, bob: Customer, settings: Any) -> None:
        with no_redis(settings):
            first = keyed(bob)
        redis_is_back()
        again = keyed(bob)
        assert (again["X-Usage-Event"], again["Idempotency-Replayed"]) == (first["X-Usage-Event"], "true")
        assert keyed(bob, {"other": 1}).status_code == 409
        drain.drain()
        assert sums(bob.account) == {2}

    def test_a_key_of_before_is_known_without_redis(self, bob: Customer, settings: Any) -> None:
        first = keyed(bob)
        drain.drain()
        with no_redis(settings):
            problem(keyed(bob), 409, "idempotency_in_progress")  # how it ended only Redis knows
            with after_the_longest_request():
                again = keyed(bob)
        assert (again["X-Usage-Event"], again["Idempotency-Replayed"]) == (first["X-Usage-Event"], "true")

    def test_a_key_of_before_that_nobody_knew_of_is_charged_once_in_the_end(self, bob: Customer, settings: Any) -> None:
        first = keyed(bob)
        with no_redis(settings):
            second = keyed(bob)
        assert first["X-Usage-Event"] != second["X-Usage-Event"], "the drain had not brought the first one"
        redis_is_back()
        drain.drain()
        assert void_second_charges(timezone.now() + longest_request()) == 1
        assert sums(bob.account) == {2}
        assert judged_by_redis(bob) == 2
        kinds = UsageLog.objects.filter(event_id=first["X-Usage-Event"]).values_list("kind", flat=True)
        assert sorted(kinds) == ["charge", "void"]

    def test_a_key_of_a_process_that_has_lost_redis_alone_is_charged_once_in_the_end(
        self, bob: Customer, settings: Any
    ) -> None:
        keyed(bob)
        drain.drain()
        bought = {"Idempotency-Key": "another"}
        with no_redis(settings):
            first = bob.post(SCORE, {}, **bought)
        outage.breaker.is_open = False  # as a process that has kept Redis, to which nothing is published yet
        second = bob.post(SCORE, {}, **bought)
        assert "Idempotency-Replayed" not in second
        drain.drain()
        assert void_second_charges(timezone.now() + longest_request()) == 1
        assert sums(bob.account) == {4}
        events = [first["X-Usage-Event"], second["X-Usage-Event"]]
        kinds = UsageLog.objects.filter(event_id__in=events).values_list("kind", flat=True)
        assert sorted(kinds) == ["charge", "charge", "void"]

    def test_another_request_under_the_same_key_stays_charged(self, bob: Customer, settings: Any) -> None:
        keyed(bob)
        with no_redis(settings):
            keyed(bob, {"other": 1})
        redis_is_back()
        drain.drain()
        assert sums(bob.account) == {4}

    def test_redis_knows_the_key_also_when_the_drain_was_faster(self, bob: Customer, settings: Any) -> None:
        bob.api.get(TRACE)
        with no_redis(settings):
            first = keyed(bob)
        redis_is_back()
        drain.drain()
        assert keyed(bob)["X-Usage-Event"] == first["X-Usage-Event"]

    def test_to_a_redis_that_lost_all_the_key_is_published(self, bob: Customer) -> None:
        first = keyed(bob)
        drain.drain()
        client().flushall()
        problem(keyed(bob), 409, "idempotency_in_progress")
        with after_the_longest_request():
            assert keyed(bob)["X-Usage-Event"] == first["X-Usage-Event"]

    def test_a_failed_call_frees_its_key(self, bob: Customer, settings: Any) -> None:
        with no_redis(settings):
            assert keyed(bob, {"fail": 500}).status_code == 500
            again = keyed(bob, {"fail": 500})
            assert "Idempotency-Replayed" not in again
        assert sums(bob.account) == {0}

    def test_a_failed_replay_makes_no_served_call_free(self, bob: Customer, settings: Any) -> None:
        with no_redis(settings):
            served, failed = (admit(bob, idempotency_key="k", fingerprint=b"f") for _ in range(2))  # type: ignore[arg-type]
            voiding.void_failed_call(failed)
            assert sums(bob.account) == {10}
            voiding.void_failed_call(served)
            assert sums(bob.account) == {0}
            again = admit(bob, idempotency_key="k", fingerprint=b"g")  # type: ignore[arg-type]
        assert (again.admitted, again.replayed) == (True, False)

    def test_a_voided_charge_frees_its_key_for_the_drain_too(self, bob: Customer, settings: Any) -> None:
        keyed(bob, {"fail": 500})
        drain.drain()
        with no_redis(settings):
            assert "Idempotency-Replayed" not in keyed(bob, {"fail": 500})
