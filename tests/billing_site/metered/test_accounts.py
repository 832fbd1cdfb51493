"""What a host asks and charges beside its views: the same answers as over HTTP, and no request of the minute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from rest_framework.exceptions import ValidationError

from billing_site.metered import (
    BadCredentials,
    FeatureNotSold,
    NotAdmitted,
    ReservationRefused,
    check,
    plan_of,
    reserve,
    standing,
    track,
)
from tests.billing_site.metered import views
from tests.billing_site.test_gateway import used
from tests.cast import Customer
from tests.contract import MINUTE_MEMBERS, PROBLEM, QUOTA_MEMBERS, WAY_UP, left, problem
from usage.drain import drain
from usage.log.events import RUN_NAMED
from usage.metering.refusal import refusal_of
from usage.models import UsageLog

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def host(settings: Any) -> Iterator[None]:
    settings.ROOT_URLCONF = "tests.billing_site.metered.views"
    views.runs.clear()
    yield


class TestTrack:
    @pytest.mark.parametrize("by_id", [True, False])
    def test_it_charges_as_over_http_but_no_request(self, bob: Customer, by_id: bool) -> None:
        tracked = track(bob.account if by_id else bob.user, "trace_start", {"job": 7})
        assert (tracked.account, tracked.tokens, tracked.remaining) == (bob.account, 10, 490)
        assert left(bob.api.get("/api/v1/usage/current")) == {"minute": 29, "quota": 490}
        drain.catch_up(bob.account)
        row = UsageLog.objects.get(account=bob.account)
        assert (row.id, row.source, row.metadata, row.key_prefix) == (UUID(tracked.event), "track", {"job": 7}, "")

    def test_what_failed_is_given_back_once(self, bob: Customer) -> None:
        tracked = track(bob.user, "trace_start")
        tracked.give_back()
        assert used(bob) == 0

    def test_above_the_quota_it_is_refused_and_says_why(self, alice: Customer) -> None:
        for _ in range(10):
            track(alice.user, "trace_start")
        with pytest.raises(NotAdmitted) as refused:
            track(alice.user, "trace_start")
        refusal = refusal_of(refused.value.admission)
        assert (refusal.code, refusal.parameters["suggested_plan"]) == ("quota_exceeded", "starter")
        assert used(alice) == 100

    def test_without_the_capability_too(self, alice: Customer) -> None:
        with pytest.raises(NotAdmitted):
            track(alice.user, "graph_query")
        assert used(alice) == 0

    def test_in_a_view_the_refusal_is_the_views_answer(self, alice: Customer) -> None:
        body = problem(
            alice.api.get("/own/tracks?feature=graph_query"),
            403,
            "feature_not_in_plan",
            PROBLEM | WAY_UP | {"feature", "capability"},
        )
        assert (body["capability"], used(alice)) == ("investigator", 0)
        for _ in range(9):
            track(alice.user, "trace_start")
        response = alice.api.get("/own/tracks?feature=trace_start")
        problem(response, 429, "quota_exceeded", QUOTA_MEMBERS)
        assert (response["X-Usage-Cost"], used(alice)) == ("0", 90)

    def test_in_a_view_both_are_charged(self, bob: Customer) -> None:
        body = bob.api.get("/own/tracks?feature=risk_score").json()
        assert (body["tokens"], body["remaining"], used(bob)) == (2, 488, 12)

    def test_an_unknown_feature_is_said_so(self, bob: Customer) -> None:
        with pytest.raises(FeatureNotSold, match="no_such"):
            track(bob.user, "no_such")
        assert problem(bob.api.get("/own/tracks?feature=no_such"), 503, "unavailable")["detail"].startswith(
            "The feature no_such"
        )
        assert used(bob) == 0

    @pytest.mark.parametrize("metadata", [{"a": "x" * 5000}, {"a": "\0"}, [1], {RUN_NAMED: "r"}, {"a": "\ud800"}])
    def test_metadata_that_cannot_be_stored_charges_nothing(self, bob: Customer, metadata: Any) -> None:
        with pytest.raises(ValidationError):
            track(bob.user, "trace_start", metadata)
        assert used(bob) == 0


def test_a_deactivated_user_is_charged_nothing(bob: Customer) -> None:
    bob.user.is_active = False
    bob.user.save()
    for ask in (track, check, reserve):
        with pytest.raises(BadCredentials):
            ask(bob.user, "trace_start", **({"tokens": 5} if ask is reserve else {}))


def test_what_is_asked_is_answered_as_over_http(bob: Customer) -> None:
    track(bob.user, "trace_start")
    assert check(bob.user, "risk_score") == bob.post("/api/v1/usage/check", {"feature": "risk_score"}).json()
    assert (plan_of(bob.user).code, "investigator" in plan_of(bob.user).capabilities) == ("starter", True)
    here, there = standing(bob.user), bob.api.get("/api/v1/usage/current").json()
    assert {name: there[name] for name in ("tokens_used", "quota", "tokens_remaining", "plan")} == {
        "tokens_used": 10,
        "quota": 500,
        "tokens_remaining": 490,
        "plan": "starter",
    }
    assert here.keys() == there.keys() and here["tokens_used"] == 10


def test_asking_costs_no_request(alice: Customer) -> None:
    for _ in range(20):
        check(alice.user, "trace_start")
        standing(alice.user)
        plan_of(alice.user)
    assert left(alice.api.get("/api/v1/usage/current"))["minute"] == 9


def test_check_foresees_a_refusal_and_an_unknown_feature(alice: Customer) -> None:
    assert (check(alice.user, "graph_query")["allowed"], check(alice.user, "graph_query")["code"]) == (
        False,
        "feature_not_in_plan",
    )
    with pytest.raises(FeatureNotSold):
        check(alice.user, "no_such")


class TestReserve:
    def test_it_holds_settles_and_gives_back(self, bob: Customer) -> None:
        held = reserve(bob.user, "trace_start", tokens=50)
        assert (held.bound, used(bob)) == (50, 50)
        settled = held.settle(tokens=8)
        assert (settled.charged, settled.released, used(bob)) == (8, 42, 8)

    def test_released_it_costs_nothing(self, bob: Customer) -> None:
        reserve(bob.user, "trace_start", tokens=50).release()
        assert used(bob) == 0

    def test_a_child_draws_from_it(self, bob: Customer) -> None:
        held = reserve(bob.user, "trace_start", tokens=50)
        child = held.child("risk_score", tokens=20)
        assert used(bob) == 50
        assert (child.settle(tokens=5).charged, held.settle(tokens=6).charged, used(bob)) == (5, 6, 11)

    def test_beyond_the_quota_it_is_refused(self, bob: Customer) -> None:
        with pytest.raises(NotAdmitted):
            reserve(bob.user, "trace_start", tokens=501)
        with pytest.raises(ReservationRefused):
            reserve(bob.user, "no_such", tokens=1)
        assert used(bob) == 0

    def test_in_a_view(self, bob: Customer) -> None:
        assert bob.api.get("/own/reserves?tokens=9").json() == {"charged": 3}
        problem(bob.api.get("/own/reserves?tokens=501"), 429, "quota_exceeded", QUOTA_MEMBERS)
        assert used(bob) == 3


def test_the_minute_is_of_requests(alice: Customer) -> None:
    for _ in range(10):
        assert alice.api.get("/own/plain").status_code == 200
    problem(alice.api.get("/own/plain"), 429, "rate_limited", MINUTE_MEMBERS)
    assert track(alice.user, "risk_score").remaining == 78
