"""Charges of /usage/authorize are given back by who has the operator's key, and by nobody who pays."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from billing.models import LimitOverride
from tests.billing_site.forward_auth.test_views import START, ask, charges, code, trusted
from tests.billing_site.test_gateway import used
from tests.cast import Customer
from usage.drain import drain
from usage.models import UsageLog

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(customer: Callable[..., Customer]) -> Customer:
    return customer("olga", "community", scope="meter")


def test_the_operator_gives_a_failed_call_back(operator: Customer, bob: Customer) -> None:
    event = ask(bob.api)["X-Usage-Event"]
    path = f"/api/v1/usage/events/{event}?account={bob.account}"
    assert operator.api.delete(path).status_code == 204
    assert used(bob) == 0
    assert code(operator.api.delete(path)) == (409, "already_voided")
    assert sorted(charges(bob)) == [("charge", 10, "authorize"), ("void", -10, "authorize")]


@pytest.mark.parametrize("is_drained", [True, False])
def test_without_its_account_it_is_found(operator: Customer, bob: Customer, is_drained: bool) -> None:
    event = ask(bob.api)["X-Usage-Event"]
    if is_drained:
        drain.drain()
    path = f"/api/v1/usage/events/{event}"
    assert operator.api.delete(path).status_code == 204
    assert used(bob) == 0
    assert code(operator.api.delete(path)) == (409, "already_voided")


def test_what_another_account_tracked_stays(operator: Customer, dave: Customer) -> None:
    event = dave.post("/api/v1/usage/track", {"feature": "trace_start"}).json()["event"]
    path = f"/api/v1/usage/events/{event}"
    assert code(operator.api.delete(path)) == (404, "not_found")
    assert code(operator.api.delete(f"{path}?account={dave.account}")) == (404, "not_found")
    assert used(dave) == 10
    assert dave.api.delete(f"{path}?account={dave.account}").status_code == 204


def test_whoever_pays_does_not(bob: Customer) -> None:
    event = ask(bob.api)["X-Usage-Event"]
    path = f"/api/v1/usage/events/{event}"
    assert code(bob.api.delete(path)) == (403, "forbidden")
    assert code(bob.api.delete(f"{path}?account={bob.account}")) == (403, "forbidden")
    assert used(bob) == 10


def test_an_account_that_is_none(operator: Customer, bob: Customer) -> None:
    event = ask(bob.api)["X-Usage-Event"]
    for named, status in (("x", 400), ("-1", 400), ("9" * 18, 404), ("9" * 40, 400), (str(operator.account), 404)):
        response = operator.api.delete(f"/api/v1/usage/events/{event}?account={named}")
        assert response.status_code == status, named


def test_a_call_of_the_gateway_stays(operator: Customer, bob: Customer) -> None:
    event = bob.api.get(START)["X-Usage-Event"]
    response = operator.api.delete(f"/api/v1/usage/events/{event}?account={bob.account}")
    assert code(response) == (403, "not_voidable")


def test_what_was_reported_stays(operator: Customer, bob: Customer) -> None:
    told = {"id": "1", "feature": "trace_start", "account": bob.account}
    assert operator.post("/api/v1/usage/events", {"events": [told]}).json()["accepted"] == 1
    event = str(UsageLog.objects.get(account=bob.user).id)
    for query in ("", f"?account={bob.account}"):
        assert code(operator.api.delete(f"/api/v1/usage/events/{event}{query}")) == (403, "not_voidable")


def test_it_is_refused_by_no_minute(operator: Customer, bob: Customer) -> None:
    LimitOverride.objects.create(account=operator.user, limit="minute", maximum=1)
    events = [ask(bob.api)["X-Usage-Event"] for _ in range(3)]
    for event in events:
        assert operator.api.delete(f"/api/v1/usage/events/{event}?account={bob.account}").status_code == 204


__all__ = ["trusted"]
