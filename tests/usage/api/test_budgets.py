"""Budgets over HTTP: what is refused and told, runs and their loop guard, and where a key stands."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from billing.entitlements import callers
from billing.models import ApiKey, Budget
from ratelimit.store import client
from tests.cast import Customer
from tests.contract import problem
from usage.drain.drain import drain
from usage.models import Reservation, UsageLog

pytestmark = pytest.mark.django_db(transaction=True)
TRACE, SCORE, TRACK, CURRENT = (
    "/api/v1/trace/start",
    "/api/v1/risk/score",
    "/api/v1/usage/track",
    "/api/v1/usage/current",
)
MEMBERS = {"violated-policies", "budget", "limit", "used", "cost", "resets_at", "retry_after"}


def prefix(customer: Customer) -> str:
    return callers.look_up(customer.key).prefix


def bound(customer: Customer, **limits: int) -> None:
    Budget.objects.filter(key=prefix(customer)).delete()
    Budget.objects.create(key_id=prefix(customer), **limits)


def score(customer: Customer, run: str = "", body: Any = None) -> Any:
    return customer.post(SCORE, body or {}, **({"Usage-Run": run} if run else {}))


def refused(answer: Any, code: str = "budget_exceeded", *more: str) -> Any:
    return problem(answer, 429, code, {*MEMBERS, *more})


class TestOfAKey:
    def test_a_day_that_is_used_up_says_when_it_ends(self, erin: Customer) -> None:
        bound(erin, tokens_per_day=3)
        assert score(erin).status_code == 200
        answer = score(erin)
        told = refused(answer)
        assert told["violated-policies"] == ["key"]
        assert (told["budget"], told["limit"], told["used"], told["cost"]) == ("tokens_per_day", 3, 2, 2)
        assert told["detail"] == "A budget of this API key is used up: 2 of 3 tokens a day."
        assert told["resets_at"].endswith("T00:00:00Z")
        assert 0 < told["retry_after"] <= 86_400
        assert answer["RateLimit-Policy"] == '"key";q=3;w=86400'
        assert answer["RateLimit"].startswith('"key";r=1;t=')
        assert answer["X-Usage-Cost"] == "0"

    def test_waiting_is_in_vain_where_one_call_costs_more(self, erin: Customer) -> None:
        bound(erin, tokens_per_month=1)
        answer = score(erin)
        assert refused(answer)["retry_after"] is None
        assert answer["X-Should-Retry"] == "false"

    def test_its_minute_is_told_beside_the_plan_s(self, bob: Customer) -> None:
        bound(bob, requests_per_minute=1)
        first, second = score(bob), score(bob)
        assert first["RateLimit-Policy"].startswith('"minute";q=30;w=60, "quota";q=500;w=')
        assert first["RateLimit-Policy"].endswith(', "key";q=1;w=60')
        told = refused(second)
        assert (told["budget"], told["used"], told["resets_at"]) == ("requests_per_minute", 1, None)
        assert told["retry_after"] == int(second["Retry-After"])

    def test_the_one_to_wait_longest_for_is_told_and_both_are_named(self, alice: Customer) -> None:
        bound(alice, requests_per_minute=10, tokens_per_day=12)
        for _ in range(4):
            alice.post(TRACE, {})
        for _ in range(9):
            alice.api.get(CURRENT)
        told = refused(alice.post(TRACE, {}))
        assert told["violated-policies"] == ["minute", "key"]
        assert told["budget"] == "tokens_per_day"

    def test_a_check_foresees_it(self, erin: Customer) -> None:
        bound(erin, tokens_per_day=1)
        told = erin.post("/api/v1/usage/check", {"feature": "risk_score"}).json()
        assert (told["allowed"], told["code"], told["retry_after"]) == (False, "budget_exceeded", None)
        bound(erin, tokens_per_day=2)
        assert erin.post("/api/v1/usage/check", {"feature": "risk_score"}).json()["allowed"] is True

    def test_a_tracked_charge_draws_on_it_and_gives_back(self, dave: Customer) -> None:
        bound(dave, tokens_per_day=2)
        event = dave.post(TRACK, {"feature": "risk_score"}).json()["event"]
        refused(dave.post(TRACK, {"feature": "risk_score"}))
        assert dave.api.delete(f"/api/v1/usage/events/{event}").status_code == 204
        assert dave.post(TRACK, {"feature": "risk_score"}).status_code == 200

    def test_where_it_stands_without_a_cost(self, erin: Customer) -> None:
        row, _ = ApiKey.issue(account=erin.user, name="another")
        Budget.objects.create(key=row, tokens_per_day=9)
        bound(erin, tokens_per_month=5, requests_per_minute=7)
        score(erin)
        own = {each["budget"]: each for each in erin.api.get(CURRENT).json()["budgets"]}
        assert (own["tokens_per_month"]["used"], own["tokens_per_month"]["limit"]) == (2, 5)
        assert own["requests_per_minute"]["used"] == 2
        answer = erin.api.get(CURRENT, {"key": row.beginning})
        assert answer.status_code == 200, answer.text
        (other,) = answer.json()["budgets"]
        assert (other["budget"], other["limit"], other["used"]) == ("tokens_per_day", 9, 0)

    def test_another_account_s_key_is_none(self, erin: Customer, bob: Customer) -> None:
        for name in (prefix(bob), "", "\N{SNOWMAN}", "nobody"):
            problem(erin.api.get(CURRENT, {"key": name}), 400, "invalid", {"errors"})

    def test_a_session_has_none(self, erin: Customer) -> None:
        bound(erin, tokens_per_day=0)
        browser = Client()
        browser.force_login(erin.user)
        assert browser.post(SCORE, {}, "application/json").status_code == 200
        assert browser.get(CURRENT).json()["budgets"] == []


class TestOfARun:
    def test_tokens(self, erin: Customer) -> None:
        bound(erin, tokens_per_run=4)
        assert [score(erin, "r-1").status_code for _ in range(3)] == [200, 200, 429]
        answer = score(erin, "r-1")
        told = refused(answer)
        assert told["violated-policies"] == ["run"]
        assert (told["budget"], told["used"], told["retry_after"]) == ("tokens_per_run", 4, None)
        assert answer["RateLimit-Policy"] == '"run";q=4;w=604800'
        assert answer["RateLimit"] == '"run";r=0'
        assert score(erin, "r-2").status_code == 200
        assert score(erin).status_code == 200

    def test_calls_and_the_log_names_the_run(self, dave: Customer) -> None:
        bound(dave, calls_per_run=2)
        made = [dave.post(TRACK, {"feature": "risk_score", "run": "r-81"}) for _ in range(2)]
        assert [answer.status_code for answer in made] == [200, 200]
        assert refused(score(dave, "r-81"))["budget"] == "calls_per_run"
        drain()
        assert {*UsageLog.objects.values_list("metadata__usage_run", flat=True)} == {"r-81"}

    def test_a_failed_call_gives_tokens_back_but_not_the_call(self, erin: Customer) -> None:
        bound(erin, tokens_per_run=2, calls_per_run=2)
        assert erin.post(SCORE, {"fail": True}, **{"Usage-Run": "r"}).status_code >= 400
        assert score(erin, "r").status_code == 200
        assert refused(score(erin, "r"))["budget"] in ("tokens_per_run", "calls_per_run")

    def test_a_tracked_charge_that_is_taken_back_is_given_back_to_its_run(self, dave: Customer) -> None:
        bound(dave, tokens_per_run=2)
        tracked = {"feature": "risk_score", "run": "r"}
        event = dave.post(TRACK, tracked).json()["event"]
        refused(dave.post(TRACK, tracked))
        assert dave.api.delete(f"/api/v1/usage/events/{event}").status_code == 204
        assert dave.post(TRACK, tracked).status_code == 200

    def test_both_are_named(self, erin: Customer) -> None:
        bound(erin, tokens_per_run=1, tokens_per_day=1)
        assert refused(score(erin, "r"))["violated-policies"] == ["key", "run"]

    def test_parallel_calls_never_pass_it(self, erin: Customer) -> None:
        bound(erin, tokens_per_run=20, calls_per_run=15)

        def one(_: int) -> int:
            try:
                return int(score(erin, "r").status_code)
            finally:
                connection.close()

        with ThreadPoolExecutor(16) as threads:
            answers = [*threads.map(one, range(64))]
        assert answers.count(200) == 10
        assert answers.count(429) == 54

    @pytest.mark.parametrize("name", ["", "x" * 65, "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "a\tb"])
    def test_a_bad_name_is_refused_and_costs_nothing(self, dave: Customer, name: str) -> None:
        answer = dave.post(SCORE, {}, **{"Usage-Run": name})
        assert list(problem(answer, 400, "invalid", {"errors"})["errors"]) == ["Usage-Run"]
        assert answer["X-Usage-Cost"] == "0"
        problem(dave.post(TRACK, {"feature": "risk_score", "run": name}), 400, "invalid", {"errors"})
        reserved = {"feature": "risk_score", "metadata": {"usage_run": "r"}}
        problem(dave.post(TRACK, reserved), 400, "invalid", {"errors"})

    def test_a_damaged_run_leaves_the_decision_to_postgres(self, erin: Customer) -> None:
        bound(erin, calls_per_run=1)
        score(erin, "r")
        (key,) = client().keys(f"*:n:{erin.account}:*")
        client().set(key, "nonsense")
        assert score(erin, "r").status_code == 200


class TestReservations:
    def reserve(self, customer: Customer, **asked: Any) -> Any:
        return customer.post("/api/v1/usage/reservations", {"feature": "risk_score", "tokens": 2, "run": "r"} | asked)

    def test_too_many_open(self, dave: Customer) -> None:
        bound(dave, open_per_run=1)
        first = self.reserve(dave)
        assert first.status_code == 201
        told = refused(self.reserve(dave), "too_many_open")
        assert (told["budget"], told["used"], told["violated-policies"]) == ("open_per_run", 1, ["run"])
        assert dave.api.delete(f"/api/v1/usage/reservations/{first.json()['reservation']}").status_code == 204
        assert self.reserve(dave).status_code == 201

    def test_the_day_and_the_run_are_both_named(self, dave: Customer) -> None:
        bound(dave, tokens_per_day=3, tokens_per_run=3)
        assert self.reserve(dave).status_code == 201
        assert refused(self.reserve(dave))["violated-policies"] == ["key", "run"]

    def test_the_run_may_stand_in_the_header(self, dave: Customer) -> None:
        bound(dave, tokens_per_run=3)
        asked = {"feature": "risk_score", "tokens": 2}
        made = [dave.post("/api/v1/usage/reservations", asked, **{"Usage-Run": "h"}) for _ in range(2)]
        assert [answer.status_code for answer in made] == [201, 429]
        drain()
        assert Reservation.objects.get().run == "h"

    def test_the_same_one_again_and_again_is_a_loop(self, dave: Customer) -> None:
        bound(dave, repeats_per_run=2)
        assert [self.reserve(dave).status_code for _ in range(2)] == [201, 201]
        refused(self.reserve(dave), "loop_detected")
        assert self.reserve(dave, tokens=3).status_code == 201


class TestLoops:
    def test_the_same_request_too_often_in_a_row_is_a_loop(self, erin: Customer) -> None:
        bound(erin, repeats_per_run=2)
        assert [score(erin, "r", {"n": 1}).status_code for _ in range(2)] == [200, 200]
        told = refused(score(erin, "r", {"n": 1}), "loop_detected")
        assert (told["budget"], told["used"], told["violated-policies"]) == ("repeats_per_run", 2, ["run"])
        assert score(erin, "r", {"n": 2}).status_code == 200
        assert score(erin, "r", {"n": 1}).status_code == 200
        assert score(erin, "another", {"n": 1}).status_code == 200

    def test_another_feature_is_another_request(self, erin: Customer) -> None:
        bound(erin, repeats_per_run=1)
        assert score(erin, "r").status_code == 200
        assert erin.post(TRACE, {}, **{"Usage-Run": "r"}).status_code == 200
        assert score(erin, "r").status_code == 200

    def test_it_is_off_by_default(self, erin: Customer) -> None:
        bound(erin, tokens_per_run=1000)
        assert {score(erin, "r").status_code for _ in range(10)} == {200}


def test_a_view_that_may_not_reserve_answers_with_the_budget(erin: Customer) -> None:
    bound(erin, tokens_per_day=6)
    chat = {"model": "m-large", "messages": [{"role": "user", "content": "Tell me"}], "max_tokens": 4000}
    told = refused(erin.post("/api/v1/agent/query", chat, **{"Usage-Run": "r"}), "budget_exceeded", "affordable")
    assert told["violated-policies"] == ["key"]
    assert told["affordable"]["output"] < 4000
    assert erin.api.get(CURRENT).json()["budgets"][0]["used"] == 0
