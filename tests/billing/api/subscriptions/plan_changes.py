"""Previews and changes of plan as a customer sends them, and how they are refused."""

from __future__ import annotations

from typing import Any

from tests.cast import Customer

UPGRADE = "/api/v1/billing/upgrade"
PREVIEW = "/api/v1/billing/calculate-proration"
SUBSCRIPTION = "/api/v1/billing/subscription"


def preview(customer: Customer, **body: Any) -> Any:
    return customer.post(PREVIEW, body)


def errors(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 400, response.content
    assert response.json()["code"] == "invalid"
    found: dict[str, list[str]] = response.json()["errors"]
    return found


def upgrade(customer: Customer, target: str, **body: Any) -> Any:
    return customer.post(UPGRADE, {"target_plan": target} | body)


def refused(response: Any, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.json()["code"]) == (status, code), response.content
    body: dict[str, Any] = response.json()
    return body
