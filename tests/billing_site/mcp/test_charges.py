"""Calls of tools through the gateway: what each is charged, under a key once, and what costs nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import ApiKey, Budget, Feature
from tests.billing_site.mcp.rpc import ACCEPT, PATH, call, call_modern, content, error, failure, message, names, send
from tests.billing_site.test_gateway import used
from tests.cast import Customer
from tests.contract import left
from tests.redis_commands import redis_commands

pytestmark = pytest.mark.django_db

SCORE = {"address": "0xabc"}


class TestCharges:
    @pytest.mark.parametrize("send_call", [call, call_modern])
    def test_a_metered_tool_is_charged_once(self, bob: Customer, send_call: Any) -> None:
        response = send_call(bob, "risk_score", SCORE)
        assert 0 <= content(response)["score"] <= 100
        assert (response["X-Usage-Cost"], bool(response["X-Usage-Event"])) == ("2", True)
        assert left(response) == {"minute": 29, "quota": 498}
        assert used(bob) == 2

    @pytest.mark.parametrize("send_call", [call, call_modern])
    def test_a_tool_that_fails_costs_nothing(self, bob: Customer, send_call: Any) -> None:
        response = send_call(bob, "wallet_scan", {"address": "unknown"})
        assert failure(response) == "There is no wallet at this address."
        assert (response["X-Usage-Cost"], used(bob)) == ("0", 0)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({}, "The argument `address` is missing. Known are: `address`, `depth`."),
            ({"address": 5}, 'The argument `address` is not as wanted: type "string".'),
            ({"address": "a", "depth": 9}, "The argument `depth` is not as wanted: maximum 5."),
            ({"address": "a", "deep": 1}, "There is an argument that the tool does not know. Known are: `address`, "),
        ],
    )
    def test_wrong_arguments_cost_nothing(self, bob: Customer, arguments: dict[str, Any], said: str) -> None:
        response = call(bob, "wallet_scan", arguments)
        assert failure(response).startswith(said)
        assert (response["X-Usage-Cost"], used(bob)) == ("0", 0)

    def test_arguments_that_are_no_object_cost_nothing(self, bob: Customer) -> None:
        response = send(bob, message("tools/call", {"name": "risk_score", "arguments": ["0xabc"]}))
        assert response.json()["error"]["code"] == -32602
        assert (response["X-Usage-Cost"], used(bob)) == ("0", 0)

    @pytest.mark.parametrize(("send_call", "status"), [(call, 200), (call_modern, 400)])
    @pytest.mark.parametrize("name", ["nothing", "trace_start", "", "get_usage "])
    def test_an_unknown_tool_costs_nothing(self, bob: Customer, send_call: Any, status: int, name: str) -> None:
        said = error(send_call(bob, name), status)
        assert (said["code"], said["message"]) == (-32602, "There is no such tool; tools/list has those there are.")
        assert used(bob) == 0

    def test_header_and_body_that_disagree_cost_nothing(self, bob: Customer) -> None:
        for headers in ({"Mcp-Name": "get_usage"}, {"Mcp-Method": "tools/list"}):
            response = call_modern(bob, "risk_score", SCORE, **headers)
            assert error(response, 400)["code"] == -32020
            assert response["X-Usage-Cost"] == "0"
        assert error(call_modern(bob, "get_usage", **{"Mcp-Name": "risk_score"}), 400)["code"] == -32020
        assert used(bob) == 0

    def test_what_runs_is_what_was_charged(self, bob: Customer) -> None:
        """A name that is given twice means the same to the gateway and to the library, and a notification nothing."""
        twice = json.dumps(message("tools/call", {"name": "get_usage", "arguments": SCORE}))
        body = twice.replace('"name": "get_usage"', '"name": "get_usage", "name": "risk_score"').encode()
        response = bob.api.post(PATH, body, "application/json", headers=ACCEPT)
        assert "score" in content(response)
        assert response["X-Usage-Cost"] == "2"
        notice = message("tools/call", {"name": "risk_score", "arguments": SCORE})
        del notice["id"]
        response = send(bob, notice)
        assert (response.status_code, response.content, used(bob)) == (202, b"", 2)

    @pytest.mark.parametrize("identifier", [None, {}, [], 1.5, True])
    def test_an_id_that_is_none_costs_nothing(self, bob: Customer, identifier: Any) -> None:
        """The library takes it for a notification, which runs nothing."""
        response = send(bob, message("tools/call", {"name": "risk_score", "arguments": SCORE}, id=identifier))
        said = error(response, 400)
        assert (said["code"], said["message"]) == (-32600, "An id is a text or a whole number.")
        assert (response.json()["id"], used(bob)) == (None, 0)

    def test_a_tool_whose_feature_is_gone_is_no_longer_offered(self, bob: Customer) -> None:
        Feature.objects.filter(code="risk_score").delete()
        assert "risk_score" not in names(send(bob, message("tools/list")))
        response = call(bob, "risk_score", SCORE)
        assert failure(response).startswith("This key may not call the tool")
        assert used(bob) == 0

    def test_a_warm_call_is_one_redis_command_and_no_query(self, bob: Customer) -> None:
        call(bob, "risk_score", SCORE)
        with redis_commands() as commands, CaptureQueriesContext(connection) as queries:
            assert call(bob, "risk_score", SCORE)["X-Usage-Cost"] == "2"
        assert (commands, len(queries)) == (["EVALSHA"], 0)

    def test_a_request_counts_one_against_the_minute(self, alice: Customer) -> None:
        assert left(send(alice, message("tools/list")))["minute"] == 9
        assert left(call(alice, "get_usage")) == {"minute": 8, "quota": 100}


class TestRuns:
    def test_the_same_call_too_often_in_a_row_is_a_loop_whatever_its_id(self, erin: Customer) -> None:
        Budget.objects.create(key=ApiKey.objects.get(account=erin.user), repeats_per_run=2)

        def score(number: int, address: str) -> Any:
            params = {"name": "risk_score", "arguments": {"address": address}}
            return send(erin, message("tools/call", params, id=number), **{"Usage-Run": "r"})

        assert [score(number, "a").status_code for number in range(2)] == [200, 200]
        said = error(score(2, "a"), 429)["data"]
        assert (said["code"], said["violated-policies"]) == ("loop_detected", ["run"])
        assert content(score(3, "b"))
        assert content(score(4, "a"))

    def test_a_budget_is_told(self, erin: Customer) -> None:
        Budget.objects.create(key=ApiKey.objects.get(account=erin.user), tokens_per_day=3)
        assert content(call(erin, "risk_score", SCORE))
        said = error(call(erin, "risk_score", SCORE), 429)["data"]
        assert (said["code"], said["violated-policies"]) == ("budget_exceeded", ["key"])
        (budget,) = content(call(erin, "get_usage"))["budgets"]
        assert (budget["budget"], budget["used"], budget["limit"]) == ("tokens_per_day", 2, 3)


class TestIdempotency:
    def test_a_call_is_charged_once_under_its_key(self, bob: Customer) -> None:
        first = call(bob, "risk_score", SCORE, **{"Idempotency-Key": "k"})
        again = call(bob, "risk_score", SCORE, **{"Idempotency-Key": "k"})
        assert (again.content, again["Idempotency-Replayed"]) == (first.content, "true")
        assert used(bob) == 2

    def test_another_call_under_it_is_refused(self, bob: Customer) -> None:
        call(bob, "risk_score", SCORE, **{"Idempotency-Key": "k"})
        said = error(call(bob, "risk_score", {"address": "0xdef"}, **{"Idempotency-Key": "k"}), 409)
        assert (said["code"], said["data"]["code"]) == (-32000, "idempotency_conflict")

    def test_a_failed_call_frees_it(self, bob: Customer) -> None:
        for _ in range(2):
            response = call(bob, "wallet_scan", {"address": "unknown"}, **{"Idempotency-Key": "k"})
            assert failure(response) and "Idempotency-Replayed" not in response
        assert used(bob) == 0


class TestErrors:
    def test_a_defect_is_told_as_one(self, bob: Customer, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
        def broken(_: str) -> int:
            raise RuntimeError("secret")

        monkeypatch.setattr("billing_site.mcp.sandbox_tools._score", broken)
        response = call(bob, "risk_score", SCORE)
        assert failure(response) == "Something went wrong here. Tokens that the call took were given back."
        assert b"secret" not in response.content
        assert "the tool risk_score has failed" in caplog.text
        assert used(bob) == 0

    def test_a_worker_that_is_stopped_leaves_the_loop_to_the_others(
        self, bob: Customer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stopped(_: str) -> int:
            raise SystemExit("the worker is told to stop")

        with monkeypatch.context() as patched:
            patched.setattr("billing_site.mcp.sandbox_tools._score", stopped)
            with pytest.raises(SystemExit):
                call(bob, "risk_score", SCORE)
        assert used(bob) == 0
        assert content(call(bob, "risk_score", SCORE))
