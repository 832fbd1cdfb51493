"""The agent over HTTP: what is reserved before an answer, and charged after it, however it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.billing_site.agent.asking import PATH, body, charged, cost, leave, only, rows
from tests.cast import Customer
from tests.contract import problem
from tests.outages import no_redis
from usage.drain import drain

pytestmark = pytest.mark.django_db


class TestWholeAnswers:
    def test_it_pays_for_what_it_has_used(self, dave: Customer) -> None:
        response = dave.post(PATH, body(chunks=500))
        assert response.status_code == 200
        assert response.json()["usage"]["completion_tokens"] == 500
        row = only(dave)
        assert (row.state, row.outcome, row.estimated, row.bound) == ("settled", "complete", False, cost(3, 1000))
        assert row.charged == charged(dave) == cost(3, 500) == int(response["X-Usage-Cost"]) == 5

    def test_nobody_reports_so_our_own_count_is_charged_as_an_estimate(self, dave: Customer) -> None:
        response = dave.post(PATH, body(chunks=500, report="nothing"))
        assert "usage" not in response.json()
        row = only(dave)
        assert (row.charged, row.estimated, row.outcome) == (cost(3, 500), True, "complete")

    def test_zero_that_is_reported_costs_nothing(self, dave: Customer) -> None:
        response = dave.post(PATH, body(chunks=500, report="zero"))
        assert response.json()["usage"]["total_tokens"] == 0
        row = only(dave)
        assert (row.state, row.charged, row.estimated) == ("settled", 0, False)
        assert charged(dave) == 0

    def test_one_that_fails_pays_for_what_was_reported(self, dave: Customer) -> None:
        problem(dave.post(PATH, body(chunks=900, fail_after=400)), 502, "upstream_failed")
        row = only(dave)
        assert (row.outcome, row.charged) == ("failed", cost(3, 400))

    def test_one_that_fails_with_no_report_costs_nothing(self, dave: Customer) -> None:
        problem(dave.post(PATH, body(chunks=900, fail_after=400, report="nothing")), 502, "upstream_failed")
        assert (only(dave).charged, charged(dave)) == (0, 0)

    def test_the_run_is_that_of_the_header(self, dave: Customer) -> None:
        dave.post(PATH, body(), **{"Usage-Run": "r-81"})
        assert only(dave).run == "r-81"

    def test_under_its_key_it_is_given_again_and_charged_once(self, dave: Customer) -> None:
        answers = [dave.post(PATH, body(chunks=500), **{"Idempotency-Key": "k"}) for _ in range(2)]
        assert answers[0].content == answers[1].content
        assert answers[1]["Idempotency-Replayed"] == "true"
        assert charged(dave) == cost(3, 500)

    @pytest.mark.parametrize("path", [f"{PATH}/", f"{PATH}/chat/completions", f"{PATH}/chat/completions/"])
    def test_it_answers_where_clients_ask(self, dave: Customer, path: str) -> None:
        assert dave.post(path, body()).json()["object"] == "chat.completion"
        assert only(dave).feature == "ai_agent_query"


class TestRefusals:
    @pytest.mark.parametrize(
        ("told", "named"),
        [({"model": 7}, "model"), ({"chunks": 0}, "chunks"), ({"n": 0}, "n"), ({"messages": []}, "messages")],
    )
    def test_what_makes_no_sense_costs_nothing(self, dave: Customer, told: dict[str, Any], named: str) -> None:
        refused = problem(dave.post(PATH, body() | told), 400, "invalid", {"errors"})
        assert list(refused["errors"]) == [named]
        assert (rows(dave), charged(dave)) == ([], 0)

    def test_a_body_that_is_too_large(self, dave: Customer) -> None:
        problem(dave.post(PATH, body("x" * 262_144)), 413, "too_large")
        assert charged(dave) == 0

    def test_a_quota_that_has_not_what_the_answer_may_cost(self, limited: Callable[[int], Customer]) -> None:
        erin = limited(7)
        refused = erin.post(PATH, body(max_tokens=1000)).json()
        assert (refused["code"], charged(erin)) == ("quota_exceeded", 0)
        assert erin.post(PATH, body(max_tokens=refused["affordable"]["output"])).status_code == 200

    def test_without_the_capability(self, bob: Customer) -> None:
        assert bob.post(PATH, body()).json()["code"] == "feature_not_in_plan"

    def test_the_sandbox_own_wishes_come_first(self, dave: Customer) -> None:
        assert dave.post(PATH, body(fail=418)).status_code == 418
        assert dave.post(f"{PATH}?fail=418", body()).status_code == 418
        assert charged(dave) == 0


class TestStreams:
    def test_it_pays_for_what_it_has_used(self, dave: Customer) -> None:
        response = dave.post(PATH, body(chunks=500, stream=True, stream_options={"include_usage": True}))
        assert (response.status_code, response["Content-Type"]) == (200, "text/event-stream")
        events = b"".join(response.streaming_content).split(b"\n\n")
        assert events[-2:] == [b"data: [DONE]", b""]
        assert json.loads(events[-3].removeprefix(b"data: "))["usage"]["completion_tokens"] == 500
        row = only(dave)
        assert (row.state, row.outcome, row.estimated) == ("settled", "complete", False)
        assert row.charged == charged(dave) == cost(3, 500)

    @pytest.mark.parametrize("taken", [1, 2, 6, 300])
    @pytest.mark.parametrize("report", ["usage", "nothing"])
    def test_a_client_that_leaves_pays_for_what_was_sent(self, dave: Customer, taken: int, report: str) -> None:
        response = dave.post(PATH, body(chunks=900, stream=True, report=report))
        events = iter(response.streaming_content)
        for _ in range(taken):
            next(events)
        leave(response)
        row = only(dave)
        sent = max(taken - 2, 0)  # the first event has no word, and nobody has asked for more than the last
        assert (row.state, row.outcome, row.estimated) == ("settled", "aborted", report == "nothing")
        assert row.charged == charged(dave) == cost(3, sent)
        assert row.units["output"] == sent

    def test_one_that_nobody_has_begun_to_read(self, dave: Customer) -> None:
        leave(dave.post(PATH, body(chunks=900, stream=True)))
        assert (only(dave).state, only(dave).outcome) == ("settled", "aborted")

    @pytest.mark.parametrize(("report", "estimated"), [("usage", False), ("nothing", True)])
    def test_one_that_fails_in_the_middle_says_so(self, dave: Customer, report: str, estimated: bool) -> None:
        response = dave.post(PATH, body(chunks=900, fail_after=400, stream=True, report=report))
        events = b"".join(response.streaming_content).split(b"\n\n")
        assert json.loads(events[-2].removeprefix(b"data: "))["error"]["code"] == "upstream_failed"
        assert b"[DONE]" not in events[-2]
        row = only(dave)
        assert (row.outcome, row.estimated, row.charged) == ("failed", estimated, cost(3, 400))

    def test_nobody_reports(self, dave: Customer) -> None:
        b"".join(dave.post(PATH, body(chunks=500, stream=True, report="nothing")).streaming_content)
        row = only(dave)
        assert (row.outcome, row.estimated, row.charged) == ("complete", True, cost(3, 500))

    def test_zero_that_is_reported_costs_nothing(self, dave: Customer) -> None:
        b"".join(dave.post(PATH, body(chunks=500, stream=True, report="zero")).streaming_content)
        row = only(dave)
        assert (row.estimated, row.charged, charged(dave)) == (False, 0, 0)

    def test_it_is_not_kept_under_its_key_so_it_is_not_done_again(self, dave: Customer) -> None:
        told = body(chunks=500, stream=True)
        b"".join(dave.post(PATH, told, **{"Idempotency-Key": "k"}).streaming_content)
        problem(dave.post(PATH, told, **{"Idempotency-Key": "k"}), 409, "idempotency_exhausted")
        assert charged(dave) == cost(3, 500)


class TestOutages:
    @pytest.mark.parametrize("report", ["usage", "nothing"])
    @pytest.mark.parametrize("drained", [True, False])
    def test_redis_is_lost_in_the_middle(self, dave: Customer, settings: Any, report: str, drained: bool) -> None:
        response = dave.post(PATH, body(chunks=500, stream=True, report=report))
        events = iter(response.streaming_content)
        for _ in range(100):
            next(events)
        if drained:
            drain.drain()
        with no_redis(settings):
            assert b"[DONE]" in b"".join(events)
        row = only(dave)
        assert (row.state, row.charged, row.outcome) == ("settled", cost(3, 500), "complete")
        assert charged(dave) == cost(3, 500)


class TestTools:
    def test_each_is_charged_as_its_feature_within_the_call(self, dave: Customer) -> None:
        response = dave.post(PATH, body("Please use tools now.", chunks=500), **{"Usage-Run": "r-81"})
        assert "nodes found" in response.json()["choices"][0]["message"]["content"]
        found = {row.feature: row for row in rows(dave)}
        assert set(found) == {"ai_agent_query", "trace_start", "graph_query"}
        parent = found["ai_agent_query"]
        assert (parent.charged, found["trace_start"].charged, found["graph_query"].charged) == (cost(4, 500), 10, 3)
        assert {found["trace_start"].parent_id, found["graph_query"].parent_id} == {parent.pk}
        assert {(row.state, row.run) for row in found.values()} == {("settled", "r-81")}
        assert charged(dave) == cost(4, 500) + 13 == int(response["X-Usage-Cost"])

    def test_a_quota_that_has_not_what_the_tools_cost(self, limited: Callable[[int], Customer]) -> None:
        erin = limited(20)
        assert erin.post(PATH, body("use tools")).json()["code"] == "quota_exceeded"
        assert erin.post(PATH, body("no such")).status_code == 200
        assert charged(erin) == cost(2, 2)
