"""What MCP refuses, as JSON-RPC tells it: who calls, what is above a limit, and what is no message at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from billing.models import ApiKey, Feature
from tests.billing_site.mcp.rpc import ACCEPT, PATH, call, content, error, failure, message, result, send
from tests.billing_site.test_gateway import used
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import left, problem
from tests.outages import redis_gone

__all__ = ["redis_gone"]

pytestmark = pytest.mark.django_db

SCORE = {"address": "0xabc"}


class TestRefusals:
    def test_without_a_key(self) -> None:
        response = Client().post(PATH, message("tools/list", id="a"), "application/json")
        said = error(response, 401)
        assert (response.json()["id"], said["code"], said["data"]["reason"]) == ("a", -32000, "missing")
        assert response["WWW-Authenticate"] == "Bearer"
        assert said["message"] == said["data"]["detail"]

    def test_a_revoked_key(self, bob: Customer, django_capture_on_commit_callbacks: Any) -> None:
        call(bob, "get_usage")
        with django_capture_on_commit_callbacks(execute=True):
            ApiKey.objects.get(account=bob.user).revoke()
        assert error(call(bob, "get_usage"), 401)["data"]["reason"] == "revoked"

    def test_the_minute(self, alice: Customer) -> None:
        for _ in range(10):
            call(alice, "get_usage")
        response = call(alice, "get_usage")
        said = error(response, 429)
        assert said["data"]["code"] == "rate_limited"
        assert said["data"]["retry_after"] == int(response["Retry-After"]) > 0
        assert response["RateLimit"]

    def test_its_retry_after_is_true(self, alice: Customer) -> None:
        with moved_by_hand() as clock:
            for _ in range(10):
                call(alice, "get_usage")
                clock.tick(1)
            retry_after = int(call(alice, "get_usage")["Retry-After"])
            clock.tick(retry_after - 1)
            error(call(alice, "get_usage"), 429)
            clock.tick(1)
            assert content(call(alice, "get_usage"))

    def test_no_decision(self, alice: Customer, settings: Any, redis_gone: None) -> None:
        settings.WHEN_REDIS_IS_DOWN = "refuse"
        response = call(alice, "risk_score", SCORE)
        assert error(response, 503)["data"]["code"] == "unavailable"
        assert response["Retry-After"] == "1"

    def test_the_quota(self, alice: Customer) -> None:
        Feature.objects.filter(code="risk_score").update(tokens=60)
        assert result(call(alice, "risk_score", SCORE))
        response = call(alice, "risk_score", SCORE)
        said = error(response, 429)["data"]
        assert (said["code"], said["tokens_remaining"], said["upgrade_url"]) == ("quota_exceeded", 40, "/dashboard/")
        assert left(response)["quota"] == 40

    def test_a_feature_that_the_plan_lacks(self, alice: Customer, bob: Customer) -> None:
        Feature.objects.filter(code="risk_score").update(capability=Feature.objects.get(code="graph_query").capability)
        said = error(call(alice, "risk_score", SCORE), 403)["data"]
        assert (said["code"], said["suggested_plan"], said["upgrade_url"]) == (
            "feature_not_in_plan",
            "starter",
            "/dashboard/",
        )
        assert content(call(bob, "risk_score", SCORE))

    def test_a_session_needs_its_token(self, bob: Customer) -> None:
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(bob.user)
        response = browser.post(PATH, message("tools/list"), "application/json", headers=ACCEPT)
        assert error(response, 403)["data"]["code"] == "csrf_failed"


class TestWalls:
    @pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
    @pytest.mark.parametrize("method", ["get", "delete", "put", "patch"])
    def test_only_post(self, bob: Customer, method: str, accept: str) -> None:
        """Clients ask for a stream by GET, and do without one only when that is a 405."""
        response = getattr(bob.api, method)(PATH, headers={"Accept": accept})
        problem(response, 405, "method_not_allowed")
        assert "POST" in response["Allow"]

    def test_no_batch(self, bob: Customer) -> None:
        batch = [message("tools/call", {"name": "risk_score", "arguments": SCORE})] * 2
        said = error(send(bob, batch), 400)
        assert (said["code"], used(bob)) == (-32600, 0)

    @pytest.mark.parametrize("body", [b" ", b"{", b"\xff", b"NaN", b'{"a":' * 200 + b"1" + b"}" * 200])
    def test_what_is_no_json(self, bob: Customer, body: bytes) -> None:
        response = bob.api.post(PATH, body, "application/json", headers=ACCEPT)
        assert error(response, 400)["code"] == -32700
        assert response.json()["id"] is None

    @pytest.mark.parametrize(
        "members", [{"jsonrpc": "1.0"}, {"jsonrpc": None}, {"method": 5}, {"method": None}, {"params": ["risk_score"]}]
    )
    def test_a_message_that_is_none_is_told_in_our_own_words(self, bob: Customer, members: dict[str, Any]) -> None:
        said = error(send(bob, message("tools/list") | members), 400)
        assert (said["code"], said["message"]) == (-32600, "This is no message of JSON-RPC 2.0.")
        assert said["data"]["code"] == "invalid"

    @pytest.mark.parametrize("body", [b"5", b'"tools/list"', b"null", b"{}", b'{"jsonrpc": "1.0", "id": 1}'])
    def test_what_is_no_message(self, bob: Customer, body: bytes) -> None:
        assert error(bob.api.post(PATH, body, "application/json", headers=ACCEPT), 400)

    @pytest.mark.parametrize("size", [64 * 1024 + 1, 1_000_000, 1_500_000])
    def test_a_large_body(self, bob: Customer, size: int) -> None:
        body = json.dumps(message("tools/call", {"name": "risk_score", "arguments": {"address": "x" * size}})).encode()
        response = bob.api.post(PATH, body, "application/json", headers=ACCEPT)
        assert error(response, 413)["data"]["code"] == "too_large"
        assert used(bob) == 0

    def test_another_media_type(self, bob: Customer) -> None:
        body = json.dumps(message("tools/call", {"name": "risk_score", "arguments": SCORE}))
        said = error(bob.api.post(PATH, body, "text/plain", headers=ACCEPT), 415)
        assert (said["data"]["code"], used(bob)) == ("unsupported_media_type", 0)

    def test_a_client_that_takes_no_json(self, bob: Customer) -> None:
        body = json.dumps(message("tools/call", {"name": "risk_score", "arguments": SCORE}))
        response = bob.api.post(PATH, body, "application/json", headers={"Accept": "text/event-stream"})
        assert error(response, 406)["data"]["code"] == "not_acceptable"
        assert used(bob) == 0

    def test_pages_of_other_sites(self, bob: Customer, settings: Any) -> None:
        for origin in ("https://evil.example", "null", "http://localhost:6274"):
            response = call(bob, "risk_score", SCORE, Origin=origin)
            assert error(response, 403)["data"]["code"] == "forbidden"
        assert used(bob) == 0
        assert content(call(bob, "risk_score", SCORE, Origin="http://testserver"))
        settings.CSRF_TRUSTED_ORIGINS = ["https://evil.example"]
        assert content(call(bob, "risk_score", SCORE, Origin="https://evil.example"))

    def test_another_host(self, bob: Customer) -> None:
        client = Client(headers={"Authorization": f"Bearer {bob.key}", "Host": "evil.example"})
        response = client.post(
            PATH, message("tools/call", {"name": "risk_score", "arguments": SCORE}), "application/json"
        )
        assert (response.status_code, used(bob)) == (400, 0)

    def test_nobody_reads_anothers(self, alice: Customer, bob: Customer) -> None:
        call(bob, "risk_score", SCORE)
        assert content(call(alice, "get_usage"))["tokens_used"] == 0
        assert content(call(alice, "get_breakdown"))["total"] == 0
        asked = call(alice, "get_usage", {"account": bob.account})
        assert failure(asked).startswith("There is an argument that the tool does not know.")
