"""Idempotency-Key on billing writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from billing.models import Invoice, Plan, StoredResponse, Subscription
from billing.tasks import purge_stored_answers
from tests.billing.sale import lift_minute
from tests.billing.waiting import until
from tests.cast import Customer
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db
UPGRADE, DOWNGRADE = "/api/v1/billing/upgrade", "/api/v1/billing/downgrade"


def upgrade(customer: Customer, target: str, key: str) -> Any:
    return customer.post(UPGRADE, {"target_plan": target}, **{"Idempotency-Key": key})


def is_replay(response: Any) -> bool:
    return bool(response.headers.get("Idempotency-Replayed") == "true")


def refused(response: Any, status: int, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (status, code), response.content
    assert not is_replay(response)


def test_the_first_answer_is_returned_byte_for_byte(bob: Customer) -> None:
    first, second, third = (upgrade(bob, "pro", "k") for _ in range(3))
    assert [is_replay(answer) for answer in (first, second, third)] == [False, True, True]
    assert first.content == second.content == third.content
    assert b'"prorated_amount":20.00' in first.content
    assert {answer.headers["Content-Type"] for answer in (first, second, third)} == {"application/json"}
    assert Invoice.objects.filter(account=bob.account).count() == 2


def test_it_is_returned_whatever_happened_since(bob: Customer) -> None:
    first = upgrade(bob, "pro", "k")
    upgrade(bob, "business", "another")
    Plan.objects.filter(code="pro").update(archived_at=datetime(2025, 1, 1, tzinfo=UTC))
    Subscription.objects.update(parked_at=datetime(2025, 1, 1, tzinfo=UTC))
    assert upgrade(bob, "pro", "k").content == first.content


def test_how_the_answer_is_asked_for_makes_no_difference(bob: Customer) -> None:
    accepting = {"Idempotency-Key": "k", "Accept": "application/json; indent=4"}
    first = bob.post(UPGRADE, {"target_plan": "pro"}, **accepting)
    assert upgrade(bob, "pro", "k").content == first.content


def test_downgrade_and_cancel_answer_once_as_well(carol: Customer) -> None:
    headers = {"Idempotency-Key": "down"}
    first = carol.post(DOWNGRADE, {"target_plan": "starter"}, **headers)
    cancelled = [carol.api.delete(DOWNGRADE, headers={"Idempotency-Key": "up"}) for _ in range(2)]
    assert [(answer.status_code, answer.content) for answer in cancelled] == [(204, b"")] * 2
    assert [is_replay(answer) for answer in cancelled] == [False, True]
    again = carol.post(DOWNGRADE, {"target_plan": "starter"}, **headers)
    assert (is_replay(again), again.content) == (True, first.content)
    # The replay scheduled nothing.
    assert carol.api.get("/api/v1/billing/subscription").json()["scheduled_plan"] is None


def test_another_request_under_the_key_is_a_conflict(bob: Customer) -> None:
    upgrade(bob, "pro", "k")
    key = {"Idempotency-Key": "k"}
    refused(upgrade(bob, "business", "k"), 409, "idempotency_conflict")
    refused(bob.post(UPGRADE, {"target_plan": "pro", "x": 1}, **key), 409, "idempotency_conflict")
    refused(bob.post(DOWNGRADE, {"target_plan": "pro"}, **key), 409, "idempotency_conflict")
    refused(bob.api.delete(DOWNGRADE, headers=key), 409, "idempotency_conflict")
    refused(bob.post(f"{UPGRADE}?format=json", {"target_plan": "pro"}, **key), 409, "idempotency_conflict")
    assert bob.api.get("/api/v1/billing/subscription").json()["plan"] == "pro"


def test_a_key_is_its_accounts_own(bob: Customer, alice: Customer) -> None:
    assert not is_replay(upgrade(bob, "pro", "k"))
    answer = upgrade(alice, "pro", "k")
    assert (answer.status_code, is_replay(answer)) == (200, False)
    assert answer.json()["previous_plan"] == "community"


def test_an_error_stores_nothing_and_leaves_the_key_free(bob: Customer) -> None:
    refused(upgrade(bob, "community", "k"), 400, "not_an_upgrade")
    refused(upgrade(bob, "gold", "k"), 400, "invalid")
    refused(bob.post(UPGRADE, [], **{"Idempotency-Key": "k"}), 400, "invalid")
    refused(bob.api.delete(DOWNGRADE, headers={"Idempotency-Key": "k"}), 409, "nothing_scheduled")
    assert not StoredResponse.objects.exists()
    assert upgrade(bob, "pro", "k").status_code == 200


def test_a_change_whose_answer_cannot_be_stored_is_not_made(bob: Customer) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_storedanswer ADD CONSTRAINT none CHECK (false) NOT VALID")
    api = Client(headers={"authorization": f"Bearer {bob.key}"}, raise_request_exception=False)
    headers = {"Idempotency-Key": "k"}
    failed = api.post(UPGRADE, {"target_plan": "pro"}, content_type="application/json", headers=headers)
    assert failed.status_code == 500
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE billing_storedanswer DROP CONSTRAINT none")
    assert bob.api.get("/api/v1/billing/subscription").json()["plan"] == "starter"
    assert Invoice.objects.filter(account=bob.account).count() == 1
    assert upgrade(bob, "pro", "k").json()["invoice"] == "INV-000002"


def test_keys_that_are_none(bob: Customer) -> None:
    for key in ("", "k" * 256, "schlüssel", "tab\there", "\x7f", "\x00"):
        response = upgrade(bob, "pro", key)
        refused(response, 400, "invalid")
        assert list(response.json()["errors"]) == ["Idempotency-Key"]
    assert bob.api.get("/api/v1/billing/subscription").json()["plan"] == "starter"


def test_the_longest_key_and_every_printable_character(bob: Customer) -> None:
    printable = "".join(map(chr, range(0x20, 0x7F)))
    assert upgrade(bob, "pro", "k" * 255).status_code == 200
    assert upgrade(bob, "business", printable).status_code == 200
    assert is_replay(upgrade(bob, "business", printable))


def test_the_key_is_judged_before_anything_else(bob: Customer) -> None:
    response = bob.api.post(UPGRADE, b"{", content_type="application/json", headers={"Idempotency-Key": ""})
    assert list(response.json()["errors"]) == ["Idempotency-Key"]


def test_a_body_that_is_refused_is_refused_under_a_key_too(bob: Customer) -> None:
    headers = {"Idempotency-Key": "k"}
    assert bob.post(UPGRADE, {"target_plan": "p" * 2_000_000}, **headers).status_code == 413
    assert bob.api.post(UPGRADE, {"target_plan": "pro"}, headers=headers).status_code == 415


@pytest.mark.parametrize(("hours", "replayed"), [(23, True), (24, False), (25, False)])
def test_after_a_day_the_key_is_free(customer: Callable[..., Customer], hours: int, replayed: bool) -> None:
    with moved_by_hand("2025-10-16T12:00:00Z") as clock:
        carol = customer("carol", "pro")
        carol.post(DOWNGRADE, {"target_plan": "starter"}, **{"Idempotency-Key": "k"})
        clock.tick(timedelta(hours=hours))
        response = carol.post(DOWNGRADE, {"target_plan": "community"}, **{"Idempotency-Key": "k"})
        again = carol.post(DOWNGRADE, {"target_plan": "community"}, **{"Idempotency-Key": "k"})
    assert response.status_code == (409 if replayed else 200)
    assert is_replay(again) is not replayed
    assert StoredResponse.objects.count() == 1


def test_beat_forgets_what_is_a_day_old(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2025-10-16T12:00:00Z") as clock:
        bob = customer("bob", "starter")
        upgrade(bob, "pro", "old")
        clock.tick(timedelta(seconds=1))
        upgrade(bob, "business", "young")
        clock.move_to("2025-10-17T12:00:00Z")
        purge_stored_answers()
    assert list(StoredResponse.objects.values_list("key", flat=True)) == ["young"]


@contextmanager
def held_subscription(account: int) -> Iterator[None]:
    """Somebody else holds the subscription's row."""
    other = connection.copy()
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT 1 FROM billing_subscription WHERE account_id = %s FOR UPDATE", [account])
        yield
    finally:
        other.rollback()
        other.close()


def waiting_for(lock: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND wait_event = %s",
            [lock],
        )
        return int(cursor.fetchone()[0])


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    def ask(self, clients: ThreadPoolExecutor, customer: Customer, target: str) -> Future[Any]:
        def one() -> Any:
            try:
                return upgrade(customer, target, "k")
            finally:
                connection.close()

        return clients.submit(one)

    @pytest.mark.parametrize(("second", "status"), [("pro", 200), ("business", 409)])
    def test_the_second_waits_for_the_firsts_answer(self, bob: Customer, second: str, status: int) -> None:
        lift_minute(bob)
        with ThreadPoolExecutor(2) as clients:
            with held_subscription(bob.account):
                first = self.ask(clients, bob, "pro")
                until(lambda: waiting_for("transactionid") == 1)
                other = self.ask(clients, bob, second)
                until(lambda: waiting_for("advisory") == 1)
            answers = first.result(), other.result()
        assert [answer.status_code for answer in answers] == [200, status]
        assert is_replay(answers[1]) is (status == 200)
        assert Invoice.objects.filter(account=bob.account).count() == 2

    def test_where_the_first_fails_the_second_gets_its_chance(self, bob: Customer) -> None:
        lift_minute(bob)
        with ThreadPoolExecutor(2) as clients:
            with held_subscription(bob.account):
                first = self.ask(clients, bob, "community")
                until(lambda: waiting_for("transactionid") == 1)
                second = self.ask(clients, bob, "pro")
                until(lambda: waiting_for("advisory") == 1)
            assert [first.result().status_code, second.result().status_code] == [400, 200]
