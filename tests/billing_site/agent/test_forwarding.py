"""The agent before a provider: what it has forwarded is settled by what came back."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.billing_site.agent.asking import PATH, body, charged, cost, only, rows
from tests.cast import Customer
from tests.contract import problem
from tests.servers.openai.running import ModelServer, model_server

__all__ = ["model_server"]
pytestmark = pytest.mark.django_db


class TestForwarding:
    def test_it_is_settled_by_what_comes_back(self, dave: Customer, model_server: ModelServer) -> None:
        told = {"metadata": {"prompt": "3000", "cached": "2000", "words": "100", "reasoning": "150"}}
        response = dave.post(PATH, body() | told)
        assert response.json()["usage"]["prompt_tokens"] == 3000
        row = only(dave)
        assert row.units == {"input": 1000, "cache_read": 2000, "cache_write": None, "output": 250}
        assert row.charged == charged(dave) == -(-(1000 * 2000 + 2000 * 100 + 250 * 8000) // 10**6) == 5

    def test_streams_too(self, dave: Customer, model_server: ModelServer) -> None:
        told = {"stream": True, "metadata": {"prompt": "3000", "cached": "2000", "words": "100", "reasoning": "150"}}
        assert b"[DONE]" in b"".join(dave.post(PATH, body() | told).streaming_content)
        assert (only(dave).charged, only(dave).outcome, only(dave).estimated) == (5, "complete", False)

    def test_one_that_dies_in_the_middle_pays_for_what_was_sent(
        self, dave: Customer, model_server: ModelServer
    ) -> None:
        told = {"stream": True, "metadata": {"words": "900", "die_after": "500"}}
        events = b"".join(dave.post(PATH, body() | told).streaming_content)
        assert b"upstream_failed" in events
        row = only(dave)
        assert (row.outcome, row.estimated, row.state) == ("failed", True, "settled")
        taken = [json.loads(event.removeprefix(b"data: ")) for event in events.split(b"\n\n")[:-2]]
        written = sum(len(event["choices"][0]["delta"]["content"]) for event in taken)
        assert 0 < len(taken) <= 500  # what was on its way when the connection was reset is lost
        assert row.charged == charged(dave) == cost(4, -(-written // 4))

    @pytest.mark.parametrize("stream", [True, False])
    def test_a_refusal_costs_nothing_and_is_told_without_the_key(
        self, dave: Customer, model_server: ModelServer, stream: bool
    ) -> None:
        for upstream, status, code in ((400, 400, "upstream_refused"), (500, 502, "upstream_failed")):
            response = dave.post(PATH, body(stream=stream) | {"metadata": {"status": str(upstream)}})
            problem(response, status, code)
            assert b"sk-" not in response.content
        response = dave.post(PATH, body(stream=stream) | {"metadata": {"status": "429"}})
        problem(response, 503, "unavailable")
        assert charged(dave) == 0
        assert {row.state for row in rows(dave)} == {"settled"}

    def test_a_model_without_a_price_is_not_asked(self, dave: Customer, model_server: ModelServer) -> None:
        assert dave.post(PATH, body(model="m-none")).status_code == 400
        assert model_server.asked() == []

    def test_nothing_else_of_the_sandbox_is_forwarded(self, dave: Customer, model_server: ModelServer) -> None:
        assert dave.post(PATH, {"depth": 2}).json()["input"] == {"depth": 2}
        assert model_server.asked() == []


class TestQuota:
    def test_an_answer_beyond_its_bound_goes_on_while_the_quota_lasts(
        self, limited: Callable[[int], Customer], model_server: ModelServer
    ) -> None:
        erin = limited(60)
        told = {"max_tokens": 10, "stream": True, "metadata": {"words": "2000", "usage": "none"}}
        assert b"[DONE]" in b"".join(erin.post(PATH, body() | told).streaming_content)
        written = sum(len(f"word{position} ") for position in range(2000))
        assert only(erin).charged == charged(erin) == cost(4, -(-written // 4))

    def test_and_is_stopped_where_it_ends(self, limited: Callable[[int], Customer], model_server: ModelServer) -> None:
        erin = limited(20)
        told = {"max_tokens": 10, "stream": True, "metadata": {"words": "9000", "usage": "none"}}
        events = b"".join(erin.post(PATH, body() | told).streaming_content).split(b"\n\n")
        assert json.loads(events[-2].removeprefix(b"data: "))["error"]["code"] == "bound_exceeded"
        assert len(events) < 9000
        row = only(erin)
        assert (row.charged, charged(erin), row.outcome) == (20, 20, "failed")
