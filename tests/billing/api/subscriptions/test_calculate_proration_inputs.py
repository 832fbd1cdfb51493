"""POST /billing/calculate-proration with what is no plan, no time or no body of the contract."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.billing.api.subscriptions.plan_changes import PREVIEW, errors, preview
from tests.billing.sale import lift_minute
from tests.cast import Customer

pytestmark = pytest.mark.django_db
OCTOBER = {"billing_cycle_start": "2025-10-01", "billing_cycle_end": "2025-10-31"}


def test_targets_of_the_wrong_kind(bob: Customer) -> None:
    assert list(errors(preview(bob))) == ["target_plan"]
    for target in (None, ["pro"], {"code": "pro"}, True, 7, "pro\x00"):
        assert list(errors(preview(bob, target_plan=target))) == ["target_plan"]


NO_TIMES = [
    *(None, 7, 1.5, True, [], {}, "", "now"),
    *("2025-13-01", "2025-02-29", "20251016", "2025-W42-4", "٢٠٢٥-10-16"),
    *("2025-10-16T25:00:00Z", "2025-10-16T12:00:00", "2025-10-16T12:00Z"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2025-10-16" + "0" * 100_000),
]


def test_times_of_the_wrong_kind(bob: Customer) -> None:
    lift_minute(bob)
    for field in ("at", "billing_cycle_start", "billing_cycle_end"):
        for value in NO_TIMES:
            assert list(errors(preview(bob, target_plan="pro", **{field: value}))) == [field]


def test_unknown_fields_are_named(bob: Customer) -> None:
    assert sorted(errors(preview(bob, target_plan="pro", cycle=1, plan=2))) == ["cycle", "plan"]


def test_bodies_of_the_wrong_kind(bob: Customer) -> None:
    for body in (b"", b"[]", b"null", b'"pro"', b"{", b"[" * 100_000, b"1e999", b'{"at": NaN}', b"\xff"):
        response = bob.api.post(PREVIEW, body, content_type="application/json")
        assert (response.status_code, response.json()["code"]) == (400, "invalid")


def test_a_huge_body_is_refused(bob: Customer) -> None:
    assert preview(bob, target_plan="p" * 2_000_000).status_code == 413


def test_it_is_not_public_and_takes_json_only(bob: Customer) -> None:
    assert Client().post(PREVIEW, {"target_plan": "pro"}, content_type="application/json").status_code == 401
    assert bob.api.post(PREVIEW, {"target_plan": "pro"}).status_code == 415
    assert bob.api.get(PREVIEW).status_code == 405
