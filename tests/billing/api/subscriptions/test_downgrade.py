"""POST and DELETE /billing/downgrade."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from billing.models import BillingPeriod, Invoice, Plan, Subscription
from billing.subscriptions import changes
from ratelimit.keys import shard_of
from tests.billing.api.subscriptions.plan_changes import refused
from tests.cast import Customer
from tests.clock import moved_by_hand
from usage.drain import drain
from usage.models import UsageLog
from usage.reports.activity import check_active_features
from usage.sync import shard_locks

pytestmark = pytest.mark.django_db
PATH = "/api/v1/billing/downgrade"
SUBSCRIPTION = "/api/v1/billing/subscription"
AI_AGENT, GRAPH = "/api/v1/agent/query", "/api/v1/graph/nodes"


def downgrade(customer: Customer, target: str, **headers: str) -> Any:
    return customer.post(PATH, {"target_plan": target}, **headers)


def test_it_answers_as_the_contract_says(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        carol = customer("carol", "pro")
        clock.move_to("2025-10-17T23:59:59Z")
        response = downgrade(carol, "starter")
        shown = carol.api.get(SUBSCRIPTION).json()
    assert response.status_code == 200
    assert response.json() == {
        "message": "Downgrade scheduled",
        "current_plan": "pro",
        "target_plan": "starter",
        "effective_date": "2025-11-01",
        "days_until_downgrade": 15,
    }
    assert (shown["plan"], shown["period_price"]) == ("pro", 49)
    assert (shown["scheduled_plan"], shown["scheduled_plan_date"]) == ("starter", "2025-11-01")
    assert shown["next_invoice_amount"] == 29
    assert Invoice.objects.filter(account=carol.account).count() == 1


def test_the_days_are_a_difference_of_utc_dates(customer: Callable[..., Customer]) -> None:
    days = {}
    with moved_by_hand("2025-10-01T12:00:00Z") as clock:
        carol = customer("carol", "pro")
        for instant in ("2025-10-01T12:00:00Z", "2025-10-31T23:59:59Z", "2025-11-01T00:00:00Z", "2025-11-01T11:59:59Z"):
            clock.move_to(instant)
            days[instant] = downgrade(carol, "starter").json()["days_until_downgrade"]
    assert list(days.values()) == [31, 1, 0, 0]


@pytest.mark.django_db(transaction=True)
def test_it_acts_at_the_periods_end_and_not_before_also_when_beat_is_late(customer: Callable[..., Customer]) -> None:
    seen = {}
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        carol = customer("carol", "pro")
        downgrade(carol, "starter")
        for instant in ("2025-10-31T23:59:59Z", "2025-11-01T00:00:00Z"):
            clock.move_to(instant)
            response = carol.api.get(SUBSCRIPTION)
            shown = response.json()
            seen[instant] = (shown["plan"], shown["scheduled_plan"], response.headers["RateLimit-Policy"][:16])
    assert list(seen.values()) == [("pro", "starter", '"minute";q=100;w'), ("starter", None, '"minute";q=30;w=')]
    assert Subscription.objects.get(account=carol.user).plan.code == "pro"
    assert BillingPeriod.objects.filter(subscription__account=carol.user).count() == 1


def test_again_with_another_target_replaces(dave: Customer) -> None:
    downgrade(dave, "pro")
    assert downgrade(dave, "starter").json()["target_plan"] == "starter"
    assert dave.api.get(SUBSCRIPTION).json()["scheduled_plan"] == "starter"


def test_not_a_lower_plan(carol: Customer) -> None:
    for target in ("pro", "business", "enterprise"):
        assert list(refused(downgrade(carol, target), 400, "not_a_downgrade")["errors"]) == ["target_plan"]
    assert carol.api.get(SUBSCRIPTION).json()["scheduled_plan"] is None


def test_targets_that_cannot_be_had(carol: Customer) -> None:
    Plan.objects.filter(code="starter").update(archived_at=datetime(2025, 1, 1, tzinfo=UTC))
    for target in ("gold", "starter", "", None, [], True):
        body = refused(carol.post(PATH, {"target_plan": target}), 400, "invalid")
        assert list(body["errors"]) == ["target_plan"]
    assert list(refused(carol.post(PATH, {}), 400, "invalid")["errors"]) == ["target_plan"]


def test_a_parked_account_is_for_staff(carol: Customer) -> None:
    Subscription.objects.update(parked_at=datetime(2025, 1, 1, tzinfo=UTC), parked_because="a test")
    refused(downgrade(carol, "starter"), 403, "forbidden")
    refused(carol.api.delete(PATH), 403, "forbidden")


@pytest.mark.django_db(transaction=True)
class TestActiveFeatures:
    def test_what_is_in_use_and_lacking_is_named_sorted(self, dave: Customer) -> None:
        assert dave.api.get(GRAPH).status_code == dave.api.get(AI_AGENT).status_code == 200
        assert dave.api.get("/api/v1/trace/start").status_code == 200
        body = refused(downgrade(dave, "community"), 400, "active_features")
        assert body["detail"] == "Cannot downgrade. Active features: ai_agents, investigator"
        assert body["active_features"] == ["ai_agents", "investigator"]
        assert refused(downgrade(dave, "pro"), 400, "active_features")["active_features"] == ["ai_agents"]
        assert dave.api.get(SUBSCRIPTION).json()["scheduled_plan"] is None

    def test_what_the_target_has_too_does_not_stand_against_it(self, dave: Customer) -> None:
        dave.api.get(GRAPH)
        assert downgrade(dave, "starter").status_code == 200

    def test_every_call_answered_before_counts_also_one_that_is_not_drained(self, dave: Customer) -> None:
        for _ in range(3):
            dave.api.get(AI_AGENT)
            refused(downgrade(dave, "pro"), 400, "active_features")

    def test_a_voided_charge_does_not_count(self, dave: Customer) -> None:
        event = dave.post("/api/v1/usage/track", {"feature": "ai_agent_query"}).json()["event"]
        refused(downgrade(dave, "pro"), 400, "active_features")
        assert dave.api.delete(f"/api/v1/usage/events/{event}").status_code == 204
        assert downgrade(dave, "pro").status_code == 200

    def test_a_call_that_failed_does_not_count(self, dave: Customer) -> None:
        assert dave.api.get(AI_AGENT, {"fail": 500}).status_code == 500
        assert downgrade(dave, "pro").status_code == 200

    def test_thirty_days_later_it_counts_no_more(self, customer: Callable[..., Customer]) -> None:
        outcomes = {}
        with moved_by_hand("2025-09-01T00:00:00Z") as clock:
            dave = customer("dave", "business")
            clock.move_to("2025-09-15T12:00:00Z")
            dave.api.get(AI_AGENT)
            for instant in ("2025-10-15T12:00:00Z", "2025-10-16T00:00:00Z"):
                clock.move_to(instant)
                outcomes[instant] = downgrade(dave, "pro").status_code
        assert list(outcomes.values()) == [400, 200]

    def test_somebody_elses_calls_do_not_count(self, dave: Customer, customer: Callable[..., Customer]) -> None:
        customer("doris", "business").api.get(AI_AGENT)
        assert downgrade(dave, "pro").status_code == 200

    def test_blockers_are_not_asked_again_at_the_periods_end(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            dave = customer("dave", "business")
            downgrade(dave, "pro")
            dave.api.get(AI_AGENT)
            clock.move_to("2025-11-01T00:00:00Z")
            assert dave.api.get(SUBSCRIPTION).json()["plan"] == "pro"
            assert dave.api.get(AI_AGENT).status_code == 403

    def test_while_the_log_is_behind_it_cannot_be_told(self, dave: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(drain, "CATCH_UP_SECONDS", 0.05)
        dave.api.get(AI_AGENT)
        with drained_by_another(dave.account):
            response = downgrade(dave, "pro")
        refused(response, 503, "unavailable")
        assert response.headers["Retry-After"] == "1"
        refused(downgrade(dave, "pro"), 400, "active_features")

    def test_the_function_keeps_its_name(self, dave: Customer) -> None:
        dave.api.get(AI_AGENT)
        dave.api.get("/api/v1/trace/start")
        assert check_active_features(dave.account, datetime.now(UTC)) == {"ai_agents"}


@pytest.mark.django_db(transaction=True)
def test_a_refused_downgrade_loses_no_usage(dave: Customer) -> None:
    """The drain takes events out of Redis: it must not be rolled back together with the refused change."""
    dave.api.get(AI_AGENT)
    refused(downgrade(dave, "pro", **{"Idempotency-Key": "k"}), 400, "active_features")
    assert not drain.backlog()
    assert UsageLog.objects.filter(account=dave.account).count() == 1
    assert dave.api.get("/api/v1/usage/breakdown").json() == {"ai_agent_query": 5, "total": 5}


@contextmanager
def drained_by_another(account: int) -> Iterator[None]:
    """Another drain holds the account's shard, and does not get on."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", [shard_locks.SPACE, shard_of(account)])
        yield
    finally:
        other.close()


class TestCancel:
    def test_the_plan_stays(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            carol = customer("carol", "pro")
            downgrade(carol, "starter")
            response = carol.api.delete(PATH)
            assert (response.status_code, response.content) == (204, b"")
            clock.move_to("2025-11-01T00:00:00Z")
            shown = carol.api.get(SUBSCRIPTION).json()
        assert (shown["plan"], shown["scheduled_plan"], shown["scheduled_plan_date"]) == ("pro", None, None)

    def test_none_is_scheduled(self, carol: Customer) -> None:
        refused(carol.api.delete(PATH), 409, "nothing_scheduled")
        downgrade(carol, "starter")
        assert carol.api.delete(PATH).status_code == 204
        refused(carol.api.delete(PATH), 409, "nothing_scheduled")

    def test_at_the_periods_end_it_is_too_late(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            carol = customer("carol", "pro")
            downgrade(carol, "starter")
            clock.move_to("2025-11-01T00:00:00Z")
            refused(carol.api.delete(PATH), 409, "nothing_scheduled")
            assert carol.api.get(SUBSCRIPTION).json()["plan"] == "starter"

    def test_it_takes_no_fields(self, carol: Customer) -> None:
        downgrade(carol, "starter")
        response = carol.api.delete(PATH, {"target_plan": "starter"}, content_type="application/json")
        assert list(refused(response, 400, "invalid")["errors"]) == ["target_plan"]
        assert carol.api.delete(PATH, {}, content_type="application/json").status_code == 204


def test_it_is_not_public(carol: Customer) -> None:
    assert Client().post(PATH, {"target_plan": "starter"}, content_type="application/json").status_code == 401
    assert Client().delete(PATH).status_code == 401
    assert carol.api.get(PATH).status_code == 405


def test_the_function_keeps_its_name(carol: Customer) -> None:
    now = datetime.now(UTC)
    scheduled = changes.downgrade_with_effective_date(carol.account, Plan.objects.get(code="starter"), now)
    assert scheduled.scheduled_plan is not None
    assert (scheduled.scheduled_plan.code, scheduled.scheduled_at) == ("starter", scheduled.period_ends_at)
