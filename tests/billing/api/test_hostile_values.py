"""Whatever is looked up through the HTTP API: 400 or 404, and never a 500."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.cast import Customer

pytestmark = pytest.mark.django_db
HOSTILE = ["\0", "a\0b", "\ud800", "9" * 30, "' OR 1=1 --", "١"]


@pytest.mark.parametrize("value", HOSTILE)
def test_in_an_address(erin: Customer, value: str) -> None:
    shown = quote(value.encode(errors="surrogatepass"))
    for path in ("plans/{}", "billing/invoices/{}", "usage/events/{}"):
        assert erin.api.generic("GET", f"/api/v1/{path.format(shown)}").status_code == 404, path
        assert erin.api.generic("DELETE", f"/api/v1/{path.format(shown)}").status_code in (403, 404, 405), path
    for query in ("usage/logs?feature={}", "usage/logs?from={}", "usage/history?granularity={}", "plans?cursor={}"):
        response = erin.api.get(f"/api/v1/{query.format(shown)}")
        assert response.status_code == 400 or (response.status_code == 200 and "feature" in query), query
        if response.status_code == 200:
            assert "\0" not in value and response.json()["results"] == []


@pytest.mark.parametrize("value", HOSTILE)
def test_in_a_body(erin: Customer, value: str) -> None:
    for path, name in (
        ("billing/calculate-proration", "target_plan"),
        ("billing/calculate-proration", "current_plan"),
        ("billing/upgrade", "target_plan"),
        ("billing/downgrade", "target_plan"),
        ("usage/track", "feature"),
        ("usage/check", "feature"),
    ):
        body = json.dumps({"target_plan": "pro", name: value} if "plan" in name else {name: value})
        response = erin.api.post(f"/api/v1/{path}", body, content_type="application/json")
        assert response.status_code == 400, f"{path} {name}"


@pytest.mark.parametrize("value", [5, 1e300, True, [], {"a": 1}])
def test_what_is_no_text_in_a_body(erin: Customer, value: object) -> None:
    """REST framework would read numbers as text."""
    for method, path, name in (
        ("POST", "billing/upgrade", "target_plan"),
        ("POST", "billing/cancel", "reason"),
        ("POST", "billing/coupon", "code"),
        ("PUT", "billing/details", "name"),
        ("POST", "usage/track", "feature"),
    ):
        body = json.dumps({"name": "Erin", "address": "Here 1", "country": "DE"} if method == "PUT" else {})
        body = json.dumps(json.loads(body) | {name: value})
        response = erin.api.generic(method, f"/api/v1/{path}", body, content_type="application/json")
        assert (response.status_code, list(response.json()["errors"])) == (400, [name]), path


@pytest.mark.parametrize("value", ["\0", "a\0b"])
def test_in_a_header(erin: Customer, value: str) -> None:
    response = erin.post("/api/v1/billing/upgrade", {"target_plan": "pro"}, idempotency_key=value)
    assert response.status_code == 400
    assert erin.api.get("/api/v1/usage/current", headers={"authorization": f"Bearer {value}"}).status_code == 401
    assert erin.api.get("/api/v1/usage/current", headers={"authorization": f"Bearer {value}.x"}).status_code == 401


def test_in_what_a_customer_stores(erin: Customer) -> None:
    response = erin.post("/api/v1/usage/track", {"feature": "risk_score", "metadata": {"a": "\0", "\0": 1}})
    assert response.status_code in (200, 400)
