"""What a problem repeats of a request is bounded, whatever the request holds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from billing.http.problems import document
from tests.cast import Customer
from tests.contract import problem

CHECK = "/api/v1/usage/check"
PRORATION = "/api/v1/billing/calculate-proration"


def errors_of(response: Any) -> dict[str, Any]:
    assert len(response.content) < 30_000
    errors: dict[str, Any] = problem(response, 400, "invalid", {"errors"})["errors"]
    return errors


@pytest.mark.django_db
class TestOfRequests:
    @pytest.mark.parametrize("count", [1, 9, 10, 11, 75_000])
    @pytest.mark.parametrize("path", [CHECK, "/api/v1/usage/track", PRORATION])
    def test_the_first_ten_unknown_fields_are_named(self, bob: Customer, path: str, count: int) -> None:
        response = bob.post(path, {f"x{number}": 1 for number in range(count)})
        named = [name for name, messages in errors_of(response).items() if "Unknown field" in messages[0]]
        assert named == [f"x{number}" for number in range(min(count, 10))]
        assert ("Only the first 10 are named." in response.json()["detail"]) == (count > 10)

    def test_so_are_query_parameters(self, bob: Customer) -> None:
        query = "&".join(f"x{number}=1" for number in range(500))
        assert list(errors_of(bob.api.get(f"/api/v1/usage/current?{query}"))) == [f"x{number}" for number in range(10)]

    def test_a_long_name_is_cut(self, bob: Customer) -> None:
        assert list(errors_of(bob.post(CHECK, {"n" * 900_000: 1}))) == ["n" * 99 + "…"]

    @pytest.mark.parametrize("path", [CHECK, "/api/v1/usage/track", PRORATION, "/api/v1/billing/upgrade"])
    @pytest.mark.parametrize("value", ["v" * 900_000, ["v"] * 150_000, {"v": "v" * 900_000}])
    def test_a_large_value_is_not_given_back(self, bob: Customer, path: str, value: Any) -> None:
        names = ("feature", "metadata", "target_plan", "current_plan", "at", "quoted_at", "billing_cycle_start")
        for name in names:
            response = bob.post(path, {name: value})
            assert (response.status_code, len(response.content) < 30_000) == (400, True), name

    def test_what_stands_in_headers_is_bounded_too(self, bob: Customer) -> None:
        for headers in ({"content-type": "text/" + "x" * 7000}, {"Idempotency-Key": "k" * 7000}):
            response = bob.api.post(CHECK, "{}", "application/json", headers=headers)
            assert len(response.content) < 5000

    @pytest.mark.parametrize(("levels", "status"), [(63, 200), (65, 400), (100_000, 400)])
    def test_depth(self, bob: Customer, levels: int, status: int) -> None:
        body = '{"x":' * (levels - 1) + "{}" + "}" * (levels - 1)
        response = bob.api.post("/api/v1/trace/start", body, "application/json")
        assert response.status_code == status
        if status == 400:
            assert len(response.content) < 1000


def test_messages_and_details_are_bounded() -> None:
    made = document(400, "invalid", "d" * 5000, errors={"field": ["m" * 5000] * 50})
    assert len(made["detail"]) == len(made["errors"]["field"][0]) == 2000
    assert len(made["errors"]["field"]) == 10
    assert len(json.dumps(document(400, "invalid", "d", errors={str(n): ["m"] for n in range(50)})["errors"])) < 150
