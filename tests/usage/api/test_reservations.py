"""Reservations over HTTP, as the operator's own code uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from billing.entitlements import api_keys
from billing.models import ApiKey, LimitOverride
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.usage.metering.reservations.held import counted

pytestmark = pytest.mark.django_db
PATH = "/api/v1/usage/reservations"
ASKED = {"feature": "ai_agent_query", "model": "m-large", "units": {"input": 1200, "output": 800}, "run": "r-81"}


@pytest.fixture
def agent(customer: Callable[..., Customer]) -> Customer:
    """An account on business, of 100 tokens, and the operator's key for it."""
    made = customer("agatha", "business", scope="meter")
    LimitOverride.objects.create(account=made.user, limit="quota", maximum=100, reason="a test")
    return made


def reserve(agent: Customer, **asked: Any) -> Any:
    return agent.post(PATH, ASKED | asked)


def settle(agent: Customer, reservation: str, **report: Any) -> Any:
    return agent.post(f"{PATH}/{reservation}/settle", report)


def patch(agent: Customer, reservation: str, **body: Any) -> Any:
    return agent.api.patch(f"{PATH}/{reservation}", body, content_type="application/json")


class TestReserve:
    def test_the_bound_is_held(self, agent: Customer) -> None:
        answer = reserve(agent)
        assert answer.status_code == 201, answer.json()
        held = answer.json()["tokens_reserved"]
        assert held > 0
        assert answer.json()["tokens_remaining"] == 100 - held
        assert answer["X-Usage-Cost"] == str(held)
        assert agent.api.get("/api/v1/usage/current").json()["tokens_used"] == held

    def test_in_tokens(self, agent: Customer) -> None:
        body = {"feature": "ai_agent_query", "tokens": 9}
        assert agent.post(PATH, body).json()["tokens_reserved"] == 9

    @pytest.mark.parametrize(
        ("wrong", "field"),
        [
            ({"feature": "nonsense"}, "feature"),
            ({"model": "nonsense"}, "model"),
            ({"units": {"input": -1}}, "units"),
            ({"units": {"prompt_tokens": 1}}, "units"),
            ({"units": {"input": "1"}}, "units"),
            ({"units": {"input": 10**12}}, "units"),
            ({"units": []}, "units"),
            ({"tokens": 3}, "tokens"),
            ({"run": "a\nb"}, "run"),
            ({"run": "r" * 65}, "run"),
            ({"parent": "nonsense"}, "parent"),
            ({"parent": "019ab0c4-7f2e-7cc3-98c4-dc0c0c07398f"}, "parent"),
            ({"expires_in": 0}, "expires_in"),
            ({"expires_in": 3601}, "expires_in"),
            ({"unit": 1}, "unit"),
        ],
    )
    def test_what_is_wrong_is_named_and_nothing_is_charged(
        self, agent: Customer, wrong: dict[str, Any], field: str
    ) -> None:
        answer = reserve(agent, **wrong)
        assert (answer.status_code, [*answer.json()["errors"]]) == (400, [field])
        assert agent.api.get("/api/v1/usage/current").json()["tokens_used"] == 0

    def test_a_run_is_named_in_the_body_as_in_the_header(self, agent: Customer) -> None:
        body = {"feature": "ai_agent_query", "tokens": 1}
        assert agent.post(PATH, body, **{"Usage-Run": " my run"}).status_code == 201
        assert agent.post(PATH, body | {"run": " my run"}).status_code == 201
        assert len(agent.api.get(f"{PATH}?run=%20my%20run").json()["results"]) == 2
        assert agent.post(PATH, body | {"run": "my\nrun"}).status_code == 400

    def test_what_is_affordable_is_true(self, agent: Customer) -> None:
        refused = reserve(agent, units={"input": 1000, "output": 900_000})
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        assert refused.json()["violated-policies"] == ["quota"]
        output = refused.json()["affordable"]["output"]
        assert reserve(agent, units={"input": 1000, "output": output + 1}).status_code == 429
        assert reserve(agent, units={"input": 1000, "output": output}).status_code == 201

    def test_a_customers_key_may_not(self, customer: Callable[..., Customer]) -> None:
        carl = customer("carl", "business")
        for answer in (
            reserve(carl),
            settle(carl, "019ab0c4-7f2e-7cc3-98c4-dc0c0c07398f"),
            carl.api.get(PATH),
        ):
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert counted(carl) == (0, 0)

    def test_a_plan_without_the_capability(self, customer: Callable[..., Customer]) -> None:
        answer = reserve(customer("carl", "starter", scope="meter"))
        assert (answer.status_code, answer.json()["code"]) == (403, "feature_not_in_plan")

    def test_under_an_idempotency_key_it_is_held_once(self, agent: Customer) -> None:
        first = agent.post(PATH, ASKED, **{"Idempotency-Key": "k1"})
        again = agent.post(PATH, ASKED, **{"Idempotency-Key": "k1"})
        assert (first.status_code, again.status_code, first.json()) == (201, 201, again.json())
        assert again["Idempotency-Replayed"] == "true"
        held = first.json()["tokens_reserved"]
        assert counted(agent) == (held, held)

    def test_a_child_that_its_parent_cannot_pay(self, agent: Customer) -> None:
        parent = agent.post(PATH, {"feature": "ai_agent_query", "tokens": 9}).json()["reservation"]
        answer = agent.post(PATH, {"feature": "trace_start", "tokens": 10, "parent": parent})
        assert (answer.status_code, answer.json()["violated-policies"]) == (429, ["parent"])
        assert agent.post(PATH, {"feature": "trace_start", "tokens": 9, "parent": parent}).status_code == 201
        assert counted(agent) == (9, 9)


class TestSettle:
    def test_by_what_the_provider_reports(self, agent: Customer) -> None:
        held = reserve(agent).json()
        used = {"input": 300, "cache_read": 900, "cache_write": 0, "output": 412}
        answer = settle(agent, held["reservation"], units=used)
        assert answer.status_code == 200, answer.json()
        said = answer.json()
        assert said["state"] == "settled"
        assert said["tokens_charged"] + said["tokens_released"] == held["tokens_reserved"]
        assert said["tokens_remaining"] == 100 - said["tokens_charged"]
        assert settle(agent, held["reservation"], units=used).json() == said
        other = settle(agent, held["reservation"], units={"input": 1})
        assert (other.status_code, other.json()["code"]) == (409, "already_settled")
        assert other.json()["tokens_charged"] == said["tokens_charged"]
        assert counted(agent) == (said["tokens_charged"],) * 2

    def test_what_was_read_from_a_cache_is_cheaper(self, agent: Customer) -> None:
        fresh, cached = reserve(agent).json()["reservation"], reserve(agent).json()["reservation"]
        whole = settle(agent, fresh, units={"input": 20_000, "output": 10}).json()["tokens_charged"]
        part = settle(agent, cached, units={"input": 0, "cache_read": 20_000, "output": 10}).json()["tokens_charged"]
        assert part < whole

    def test_null_is_not_reported_and_zero_is(self, agent: Customer) -> None:
        held = reserve(agent).json()["reservation"]
        settle(agent, held, units={"input": 300, "cache_read": None, "output": 0})
        kept = agent.api.get(f"{PATH}/{held}").json()
        assert kept["units"] == {"input": 300, "cache_read": None, "output": 0}

    def test_expired(self, agent: Customer) -> None:
        with moved_by_hand() as clock:
            held = reserve(agent, expires_in=60).json()["reservation"]
            assert patch(agent, held, units={"input": 1200}).status_code == 200
            clock.tick(60)
            answer = settle(agent, held, units={"input": 1200, "output": 800})
            assert (answer.status_code, answer.json()["code"]) == (409, "reservation_expired")
            assert answer.json()["tokens_charged"] == agent.api.get(f"{PATH}/{held}").json()["tokens_charged"] > 0

    @pytest.mark.parametrize("report", [{"outcome": "good"}, {"units": {"input": 1}, "tokens": 1}, {"estimated": "no"}])
    def test_a_wrong_report_changes_nothing(self, agent: Customer, report: dict[str, Any]) -> None:
        held = reserve(agent).json()["reservation"]
        assert settle(agent, held, **report).status_code == 400
        assert agent.api.get(f"{PATH}/{held}").json()["state"] == "open"

    def test_the_headers_say_what_is_left_after_it(self, agent: Customer) -> None:
        held = reserve(agent).json()["reservation"]
        for answer in (patch(agent, held, tokens=20), settle(agent, held, tokens=4)):
            left = answer.json()["tokens_remaining"]
            assert f'"quota";r={left};' in answer["RateLimit"]
        other = reserve(agent).json()["reservation"]
        assert '"quota";r=96;' in agent.api.delete(f"{PATH}/{other}")["RateLimit"]


class TestHeartbeat:
    def test_it_prolongs(self, agent: Customer) -> None:
        with moved_by_hand() as clock:
            held = reserve(agent, expires_in=60).json()
            clock.tick(30)
            answer = patch(agent, held["reservation"], units={"input": 1200, "output": 10})
            assert answer.status_code == 200, answer.json()
            assert answer.json()["expires_at"] == "2031-03-14T10:22:00Z"
            answer = patch(agent, held["reservation"], units={"output": 1}, expires_in=3600)
            shown = agent.api.get(f"{PATH}/{held['reservation']}").json()
            listed = agent.api.get(f"{PATH}?state=open").json()["results"]
            assert shown["expires_at"] == listed[0]["expires_at"] == answer.json()["expires_at"]

    def test_above_the_quota_the_stream_is_to_stop(self, agent: Customer) -> None:
        held = reserve(agent).json()["reservation"]
        answer = patch(agent, held, units={"input": 1200, "output": 900_000})
        assert (answer.status_code, answer.json()["code"]) == (429, "bound_exceeded")
        assert answer.json()["violated-policies"] == ["quota"]
        output = answer.json()["affordable"]["output"]
        assert patch(agent, held, units={"input": 1200, "output": output}).status_code == 200
        assert agent.api.get("/api/v1/usage/current").json()["tokens_remaining"] == 0

    def test_nothing_to_tell(self, agent: Customer) -> None:
        held = reserve(agent).json()["reservation"]
        assert patch(agent, held).status_code == 400


class TestRelease:
    def test_all_of_it_comes_back(self, agent: Customer) -> None:
        held = reserve(agent).json()["reservation"]
        assert agent.api.delete(f"{PATH}/{held}").status_code == 204
        assert agent.api.delete(f"{PATH}/{held}").status_code == 204
        assert settle(agent, held, tokens=1).status_code == 409
        assert agent.api.get("/api/v1/usage/current").json()["tokens_used"] == 0


@pytest.mark.django_db(transaction=True)
class TestAboveTheMinute:
    """Who pays fills the minute, or bounds the operator's key: what was reserved is finished all the same."""

    @pytest.fixture
    def held(self, agent: Customer) -> str:
        held = reserve(agent, expires_in=60).json()["reservation"]
        LimitOverride.objects.create(account=agent.user, limit="minute", maximum=1, reason="a test")
        key = ApiKey.objects.get(account=agent.user)
        api_keys.change(agent.account, key.pk, timezone.now(), {}, {"requests_per_minute": 0})
        assert agent.api.get("/api/v1/usage/current").status_code == 429
        return str(held)

    def test_a_heartbeat_is_taken(self, agent: Customer, held: str) -> None:
        assert patch(agent, held, units={"input": 9}).status_code == 200

    def test_it_is_settled(self, agent: Customer, held: str) -> None:
        answer = settle(agent, held, units={"output": 800})
        assert (answer.status_code, answer.json()["tokens_charged"]) == (200, 7)

    def test_it_is_released(self, agent: Customer, held: str) -> None:
        assert agent.api.delete(f"{PATH}/{held}").status_code == 204

    def test_an_agent_settles_it_over_mcp(self, agent: Customer, held: str) -> None:
        asked = {"reservation": held, "units": {"output": 800}}
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "settle", "arguments": asked}}
        answer = agent.post("/api/v1/mcp", body, Accept="application/json")
        assert answer.json()["result"]["structuredContent"]["tokens_charged"] == 7

    def test_looking_at_it_counts_as_ever(self, agent: Customer, held: str) -> None:
        assert agent.api.get(f"{PATH}/{held}").status_code == 429

    def test_a_customers_key_is_refused_as_ever(self, customer: Callable[..., Customer]) -> None:
        carol = customer("carol", "community")
        asked = [settle(carol, "0190a5c0-0000-7000-8000-000000000000").status_code for _ in range(11)]
        assert asked == [403] * 10 + [429]


class TestLists:
    def test_of_a_run_and_of_those_that_are_open(self, agent: Customer) -> None:
        first, second = reserve(agent).json()["reservation"], reserve(agent, run="r-82").json()["reservation"]
        settle(agent, first, tokens=1)

        def names(**query: str) -> list[str]:
            return [each["reservation"] for each in agent.api.get(PATH, query).json()["results"]]

        assert names() == [second, first]
        assert names(state="open") == [second]
        assert names(run="r-81") == [first]
        assert agent.api.get(PATH, {"state": "lost"}).status_code == 400

    def test_another_accounts_is_not_found(self, agent: Customer, dave: Customer) -> None:
        held = reserve(agent).json()["reservation"]
        for answer in (
            dave.api.get(f"{PATH}/{held}"),
            dave.api.delete(f"{PATH}/{held}"),
            settle(dave, held, tokens=1),
            patch(dave, held, tokens=1),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert dave.api.get(PATH).json()["results"] == []
