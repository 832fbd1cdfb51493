"""What agents read of their account: the same as over HTTP, and nothing that is for people only."""

from __future__ import annotations

import json
from typing import Any

import pytest

from billing.models import ApiKey
from tests.billing_site.mcp.rpc import call, content, failure, message, result, send
from tests.cast import Customer

pytestmark = pytest.mark.django_db


def http(customer: Customer, path: str) -> Any:
    return customer.api.get(f"/api/v1/{path}").json()


@pytest.mark.parametrize(
    ("tool", "path"),
    [
        ("get_usage", "usage/current"),
        ("get_breakdown", "usage/breakdown"),
        ("get_subscription", "billing/subscription"),
    ],
)
def test_it_equals_what_http_says(bob: Customer, tool: str, path: str) -> None:
    call(bob, "risk_score", {"address": "a"})
    answer = result(call(bob, tool))
    assert answer["structuredContent"] == http(bob, path)
    assert json.loads(answer["content"][0]["text"]) == answer["structuredContent"]


def test_money_keeps_its_digits_in_the_text(bob: Customer) -> None:
    assert '"period_price": 29.00' in result(call(bob, "get_subscription"))["content"][0]["text"]


def test_plans_and_features(bob: Customer) -> None:
    plans = content(call(bob, "list_plans"))
    assert (plans["plans"], plans["upgrade_url"]) == (http(bob, "plans")["results"], "/dashboard/")
    features = {feature["code"]: feature for feature in content(call(bob, "list_features"))["features"]}
    assert features == {feature["code"]: feature for feature in http(bob, "features")["results"]}


def test_invoices_are_figures_only(bob: Customer) -> None:
    for plan in ("pro", "business"):
        assert bob.post("/api/v1/billing/upgrade", {"target_plan": plan}).status_code == 200
    (newest,) = content(call(bob, "list_invoices", {"most": 1}))["invoices"]
    whole = http(bob, "billing/invoices")["results"][0]
    assert newest == {name: whole[name] for name in newest}
    assert set(whole) - set(newest) == {
        *("seller", "buyer", "payments", "credit_notes", "pdf", "taxes", "reverse_charge"),
    }
    assert len(content(call(bob, "list_invoices"))["invoices"]) == len(http(bob, "billing/invoices")["results"])


def test_check(alice: Customer) -> None:
    passes = content(call(alice, "check", {"feature": "risk_score"}))
    assert (passes["allowed"], passes["code"], passes["cost"]) == (True, None, 2)
    refused = content(call(alice, "check", {"feature": "ai_agent_query"}))
    assert (refused["allowed"], refused["code"]) == (False, "feature_not_in_plan")
    asked = call(alice, "check", {"feature": "nothing"})
    assert json.loads(failure(asked))["errors"]["feature"][0].startswith("Unknown feature. Known are: ")


def test_a_preview_changes_nothing_and_says_where_people_change_plans(bob: Customer) -> None:
    previewed = content(call(bob, "preview_change", {"plan": "pro"}))
    assert (previewed["direction"], previewed["target_plan_cost"]) == ("upgrade", 49)
    assert previewed["upgrade_url"] == "/dashboard/"
    assert http(bob, "billing/subscription")["plan"] == "starter"
    refused = json.loads(failure(call(bob, "preview_change", {"plan": "nothing"})))
    assert refused["code"] == "invalid"


def test_what_units_cost(bob: Customer) -> None:
    units = {"input": 1200, "output": 800}
    costs = content(call(bob, "estimate_cost", {"model": "m-large", "units": units}))["tokens"]
    assert set(costs) == {"ai_agent_query"}
    assert costs["ai_agent_query"] > 0
    assert failure(call(bob, "estimate_cost", {"model": "m-none", "units": units})) == (
        "No price of this model holds now. Sold are: m-large, m-small."
    )
    wrong = call(bob, "estimate_cost", {"model": "m-large", "units": {"input": -1}})
    assert failure(wrong).startswith("The argument `units` is not as wanted")
    overlapping = call(bob, "estimate_cost", {"model": "m-large", "units": {"prompt_tokens": 1}})
    assert failure(overlapping).startswith("The argument `units` is not as wanted")


def test_no_tool_pays_changes_a_plan_or_shows_a_key(dave: Customer) -> None:
    listed = result(send(dave, message("tools/list")))["tools"]
    assert {tool["name"] for tool in listed} == {
        *("get_usage", "get_breakdown", "list_plans", "list_features", "get_subscription", "list_invoices"),
        *("estimate_cost", "check", "preview_change"),
        *("reserve", "settle", "release"),
        *("risk_score", "wallet_scan"),
    }
    told = json.dumps([content(call(dave, tool)) for tool in ("get_usage", "get_subscription", "list_invoices")])
    assert not any(key.prefix in told for key in ApiKey.objects.all())
