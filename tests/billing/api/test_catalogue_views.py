"""GET /plans, /plans/{code}, /features: the catalogue, open to everybody."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Feature, ModelPrice, Plan, Route, Subscription
from tests.billing.sale import sell
from tests.cast import Customer
from tests.contract import problem
from tests.schema import CheckedClient

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("catalogue")]


def get(path: str) -> Any:
    return CheckedClient().get(f"/api/v1/{path}")


class TestPlans:
    def test_the_default_catalogue(self) -> None:
        body = get("plans").json()
        assert (body["next"], body["previous"]) == (None, None)
        assert [
            (
                plan["code"],
                plan["price"],
                plan["monthly_token_quota"],
                plan["requests_per_minute"],
                plan["capabilities"],
            )
            for plan in body["results"]
        ] == [
            ("community", 0, 100, 10, []),
            ("starter", 29, 500, 30, ["investigator"]),
            ("pro", 49, "unlimited", 100, ["correlation", "investigator"]),
            ("business", 99, "unlimited", 200, ["ai_agents", "correlation", "investigator"]),
            ("plus", 199, "unlimited", 500, ["ai_agents", "correlation", "investigator"]),
            ("enterprise", 499, "unlimited", "unlimited", ["ai_agents", "correlation", "investigator"]),
        ]

    def test_one_plan(self) -> None:
        response = get("plans/starter")
        assert response.json() == {
            "code": "starter",
            "name": "Starter",
            "price": 29.00,
            "currency": "USD",
            "interval": "month",
            "trial_days": 0,
            "monthly_token_quota": 500,
            "requests_per_minute": 30,
            "overage": None,
            "capabilities": ["investigator"],
        }
        assert b'"price":29.00' in response.content

    @pytest.mark.parametrize(("currency", "price", "text"), [("JPY", 1500, b"1500,"), ("KWD", "1.5", b"1.500,")])
    def test_money_has_the_currencys_decimals(self, currency: str, price: Any, text: bytes) -> None:
        Plan.objects.filter(code="pro").update(currency=currency, price=price)
        assert b'"price":' + text in get("plans/pro").content

    def test_an_archived_plan_is_off_the_list_but_there_for_its_subscribers(self) -> None:
        Plan.objects.filter(code="plus").update(archived_at=timezone.now())
        assert "plus" not in [plan["code"] for plan in get("plans").json()["results"]]
        assert get("plans/plus").json()["code"] == "plus"

    @pytest.mark.parametrize("code", ["nope", "STARTER", "0", "-"])
    def test_an_unknown_plan(self, code: str) -> None:
        problem(get(f"plans/{code}"), 404, "not_found")

    def test_newest_first(self) -> None:
        Plan.objects.create(code="new", name="New", price=1, rank=0, created_at=timezone.now() + timedelta(seconds=1))
        assert next(plan["code"] for plan in get("plans").json()["results"]) == "new"


class TestPages:
    def test_pages_hold_everything_once_in_both_directions(self) -> None:
        seen, url = [], "/api/v1/plans?limit=3"
        while url:
            page = CheckedClient().get(url).json()
            seen += [plan["code"] for plan in page["results"]]
            url, last = page["next"], page
        assert seen == [plan["code"] for plan in get("plans").json()["results"]]
        back = CheckedClient().get(last["previous"]).json()
        assert [plan["code"] for plan in back["results"]] == seen[:3]

    @pytest.mark.parametrize(("limit", "shown"), [("1", 1), ("5", 5), ("6", 6), ("200", 6)])
    def test_limits(self, limit: str, shown: int) -> None:
        assert len(get(f"plans?limit={limit}").json()["results"]) == shown

    @pytest.mark.parametrize("limit", ["0", "-1", "x", "", "1.5", "%00", "٣", "201", "9" * 9, "9" * 5000])
    def test_what_is_no_limit(self, limit: str) -> None:
        assert list(problem(get(f"plans?limit={limit}"), 400, "invalid", {"errors"})["errors"]) == ["limit"]

    @pytest.mark.parametrize(
        "cursor",
        [
            "zzz",
            "é",
            b64encode(b"p=notadate").decode(),
            b64encode(b"p=2026-13-45").decode(),
            b64encode(b"p=%00").decode(),
            b64encode(b"r=x").decode(),
            b64encode(b"o=-1").decode(),
            b64encode(b"p=99999-01-01T00:00:00Z").decode(),
        ],
    )
    def test_what_is_no_cursor(self, cursor: str) -> None:
        for path in ("plans", "features"):
            response = CheckedClient().get(f"/api/v1/{path}", {"cursor": cursor})
            assert list(problem(response, 400, "invalid", {"errors"})["errors"]) == ["cursor"]

    def test_unknown_parameters_are_named(self) -> None:
        for path in ("plans", "features", "plans/pro"):
            assert list(problem(get(f"{path}?page=2"), 400, "invalid", {"errors"})["errors"]) == ["page"]


class TestFeatures:
    def test_the_default_catalogue(self) -> None:
        assert [
            (feature["code"], feature["tokens"], feature["capability"], feature["endpoints"])
            for feature in get("features").json()["results"]
        ] == [
            ("trace_start", 10, None, ["/api/v1/trace/start"]),
            ("trace_expand", 5, None, ["/api/v1/trace/expand"]),
            ("graph_query", 3, "investigator", ["/api/v1/graph/nodes"]),
            ("pattern_detection", 8, "correlation", ["/api/v1/patterns/detect"]),
            ("ai_agent_query", 5, "ai_agents", ["/api/v1/agent/query"]),
            ("risk_score", 2, None, ["/api/v1/risk/score"]),
            ("wallet_scan", 7, None, ["/api/v1/wallet-scanner/scan"]),
            ("report_generate", 4, None, ["/api/v1/reports/generate"]),
        ]

    def test_all_endpoints_of_a_feature_once(self) -> None:
        feature = Feature.objects.get(code="risk_score")
        for path, method in (("/api/v1/risk/all", "GET"), ("/api/v1/risk/all", "POST"), ("/elsewhere", "")):
            Route.objects.create(path=path, method=method, feature=feature)
        shown = {each["code"]: each["endpoints"] for each in get("features").json()["results"]}
        assert shown["risk_score"] == ["/api/v1/risk/all", "/api/v1/risk/score", "/elsewhere"]

    def test_a_feature_without_a_path_can_only_be_tracked(self) -> None:
        Feature.objects.create(code="offline", tokens=1, created_at=datetime(2001, 1, 1, tzinfo=UTC))
        assert get("features").json()["results"][-1] == {
            "code": "offline",
            "tokens": 1,
            "capability": None,
            "endpoints": [],
        }


class TestModels:
    def test_the_default_catalogue(self) -> None:
        response = get("models")
        small, large = response.json()["results"]
        assert (small["model"], large["model"]) == ("m-small", "m-large")
        since = ModelPrice.objects.get(model="m-large").valid_from
        assert large == {
            "model": "m-large",
            "feature": "ai_agent_query",
            "tokens_per_1000": {"input": 2, "cache_read": 0.1, "cache_write": 2.5, "output": 8},
            "fixed": 0,
            "valid_from": since.isoformat().replace("+00:00", "Z"),
        }
        assert b'"input":2,"cache_read":0.1,' in response.content

    def test_only_prices_that_hold_of_models_on_sale(self) -> None:
        feature, now = Feature.objects.get(code="ai_agent_query"), timezone.now()
        rates = {"input": 1_000_000, "cache_read": 1, "cache_write": 0, "output": 5}
        ModelPrice.objects.create(model="m-small", feature=feature, valid_from=now, is_on_sale=False, **rates)
        ModelPrice.objects.create(model="m-large", feature=feature, valid_from=now, **rates)
        ModelPrice.objects.create(model="m-large", feature=feature, valid_from=now + timedelta(days=1), **rates)
        response = get("models")
        (large,) = response.json()["results"]
        assert large["tokens_per_1000"]["output"] == 0.005
        assert b'"input":1000,' in response.content

    def test_pages(self) -> None:
        first = get("models?limit=1").json()
        second = CheckedClient().get(first["next"]).json()
        assert [page["results"][0]["model"] for page in (first, second)] == ["m-small", "m-large"]


def test_they_change_nothing(dave: Customer) -> None:
    for path in ("plans", "plans/pro", "features", "models"):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            problem(dave.api.generic(method, f"/api/v1/{path}"), 405, "method_not_allowed")


def test_everybody_may_look_and_who_is_known_sees_what_is_available(bob: Customer) -> None:
    browser = Client()
    browser.force_login(bob.user)
    assert get("features").content == bob.api.get("/api/v1/features").content
    for path in ("plans", "plans/pro"):
        public = get(path).json()
        for client in (browser, bob.api):
            known = client.get(f"/api/v1/{path}").json()
            assert [plan.pop("available") for plan in known.get("results", [known])]
            assert known == public


def test_what_is_available_to_a_customer(bob: Customer, settings: Any) -> None:
    settings.LARGEST_INVOICE = 400
    sell("twin", "29", rank=Plan.objects.get(code="starter").rank)
    sell("yearly", "290", interval="year")
    sell("euro", "19", currency="EUR")
    sell("waiting", "59", upgrade_mode="next_period")
    known = {plan["code"]: plan["available"] for plan in bob.api.get("/api/v1/plans?limit=50").json()["results"]}
    assert known == {
        "community": "at_period_end",
        "starter": None,
        "pro": "now",
        "business": "now",
        "plus": "now",
        "enterprise": "by_staff",
        "twin": "by_staff",
        "yearly": "now",
        "euro": "at_period_end",
        "waiting": "at_period_end",
    }
    Subscription.objects.update(parked_at=timezone.now(), parked_because="a test")
    parked = {plan["available"] for plan in bob.api.get("/api/v1/plans").json()["results"]}
    assert parked == {None, "by_staff"}


@pytest.mark.django_db(transaction=True)
def test_without_a_plan_every_plan_is_available(django_user_model: Any, catalogue: None) -> None:
    Plan.objects.update(is_default=False)
    user = django_user_model.objects.create_user("newcomer")
    browser = Client()
    browser.force_login(user)
    assert {plan["available"] for plan in browser.get("/api/v1/plans").json()["results"]} == {"now"}
