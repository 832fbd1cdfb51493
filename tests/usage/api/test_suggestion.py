"""`suggestion` in GET /usage/current: what would cover the window, and what that costs today."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.models import LimitOverride, Plan, Subscription, TokenPack
from tests.billing.metered import make_metered
from tests.cast import Customer, call
from tests.clock import moved_by_hand
from usage.drain import drain
from usage.metering import admit
from usage.reports.suggestion import suggestion

pytestmark = pytest.mark.django_db(transaction=True)
CURRENT, UPGRADE = "/api/v1/usage/current", "/api/v1/billing/upgrade"


@pytest.fixture
def clock() -> Iterator[Any]:
    """Noon of the fourth day: three days and a half of a month of 31 have passed."""
    with moved_by_hand("2031-03-04T12:00:00Z") as clock:
        yield clock


def on(customer: Callable[..., Customer], plan: str, calls: int) -> Customer:
    """A customer who has made so many calls of ten tokens."""
    ann = customer("ann", plan)
    LimitOverride.objects.create(account=ann.user, limit="minute", maximum=None)
    for _ in range(calls):
        assert ann.api.get("/api/v1/trace/start").status_code == 200
    drain.drain()
    return ann


def suggested(ann: Customer) -> Any:
    return ann.api.get(CURRENT).json()["suggestion"]


def test_the_cheapest_plan_that_covers_the_forecast_at_what_it_costs_today(
    customer: Callable[..., Customer], clock: Any
) -> None:
    ann = on(customer, "community", 3)  # 30 in 3.5 days: 265 by the end
    found = suggested(ann)
    assert found == {
        "kind": "plan",
        "plan": "starter",
        "reason": "At this pace you will have used 265 tokens by 2031-04-01, and 100 are included. "
        "Starter includes 500.",
        "prorated_amount": 29.0,  # her period began today
        "currency": "USD",
        "pack": None,
        "cap_tokens": None,
    }
    quoted = ann.post("/api/v1/billing/calculate-proration", {"target_plan": "starter"}).json()
    assert found["prorated_amount"] == quoted["prorated_amount"]


def test_a_plan_that_suffices_needs_none(customer: Callable[..., Customer], clock: Any) -> None:
    ann = on(customer, "community", 1)  # 88
    assert suggested(ann) is None
    assert suggested(on(lambda _, plan: customer("bea", plan), "pro", 30)) is None


def test_a_starter_is_led_to_a_plan_without_end(customer: Callable[..., Customer], clock: Any) -> None:
    found = suggested(on(customer, "starter", 10))  # 885
    assert (found["plan"], found["prorated_amount"]) == ("pro", 20.0)
    assert found["reason"].endswith("Tokens are unlimited on Pro.")


def test_packs_are_suggested_where_they_cost_less(customer: Callable[..., Customer], clock: Any) -> None:
    TokenPack.objects.create(code="hundred", name="A hundred", tokens=100, price=4)
    TokenPack.objects.create(code="short", name="Short", tokens=100, price=1, valid_days=3)
    TokenPack.objects.create(code="gone", name="Gone", tokens=100, price=1, is_on_sale=False)
    ann = on(customer, "community", 3)
    found = suggested(ann)
    assert (found["kind"], found["plan"], found["pack"]) == ("pack", "community", {"code": "hundred", "count": 2})
    assert (found["prorated_amount"], found["currency"]) == (8.0, "USD")
    assert found["reason"].endswith("2 × A hundred on top cover it at the least cost.")
    for _ in range(2):
        assert ann.post("/api/v1/billing/token-packs/hundred", None).status_code == 201
    TokenPack.objects.filter(code="hundred").update(counts_at_once=True)
    for _ in range(2):
        ann.post("/api/v1/billing/token-packs/hundred", None)
    assert suggested(ann) is None  # at once, as her facts have changed


class TestOverage:
    def test_a_higher_cap_where_that_costs_less(self, customer: Callable[..., Customer], clock: Any) -> None:
        make_metered(monthly_token_quota=100, overage_cap_tokens=50)  # 0.50 a thousand
        ann = on(customer, "metered", 3)
        found = suggested(ann)
        assert (found["kind"], found["plan"]) == ("overage", "metered")
        assert found["reason"].endswith(f"raise your cap to {found['cap_tokens']}.")
        cap = {"cap_tokens": found["cap_tokens"]}
        assert ann.api.put("/api/v1/billing/overage", cap, "application/json").status_code == 200
        assert suggested(ann) is None  # what is sold within the cap needs no suggestion

    def test_a_plan_where_overage_costs_more(self, customer: Callable[..., Customer], clock: Any) -> None:
        terms = {"overage_cap_tokens": 5000, "overage_price": 200, "requests_per_minute": 10}
        make_metered(monthly_token_quota=100, price=5, rank=0, **terms)
        found = suggested(on(customer, "metered", 1))  # 320 in her first month: 44.00 of overage
        assert (found["kind"], found["plan"]) == ("plan", "starter")


def test_who_is_parked_can_get_nothing(customer: Callable[..., Customer], clock: Any) -> None:
    ann = on(customer, "community", 3)
    parked = {"parked_at": timezone.now(), "parked_because": "it looks wrong"}
    Subscription.objects.filter(account=ann.account).update(**parked)
    assert suggested(ann) is None


def test_what_is_not_on_sale_is_not_suggested(customer: Callable[..., Customer], clock: Any) -> None:
    Plan.objects.filter(code="starter").update(archived_at=timezone.now())
    assert suggested(on(customer, "community", 3))["plan"] == "pro"


def test_an_upgrade_ends_it_at_once(customer: Callable[..., Customer], clock: Any) -> None:
    ann = on(customer, "community", 3)
    assert suggested(ann)["plan"] == "starter"
    assert ann.post(UPGRADE, {"target_plan": "starter"}).status_code == 200
    assert suggested(ann) is None


def test_it_is_looked_for_once_a_minute(customer: Callable[..., Customer], clock: Any) -> None:
    ann = on(customer, "community", 3)
    assert suggested(ann) is not None
    with CaptureQueriesContext(connection) as asked:
        assert suggested(ann) is not None
    assert len(asked) == 0
    clock.tick(60)
    with CaptureQueriesContext(connection) as asked:
        assert suggested(ann) is not None
    assert 0 < len(asked) <= 15


def test_while_the_plan_suffices_it_is_one_query(customer: Callable[..., Customer], clock: Any) -> None:
    ann = on(customer, "community", 1)
    call(ann)
    with CaptureQueriesContext(connection) as asked:
        assert suggested(ann) is None
    assert len(asked) == 1


def test_without_postgresql_there_is_none_and_the_call_is_answered(
    customer: Callable[..., Customer], clock: Any
) -> None:
    ann = on(customer, "community", 3)
    admission = admit.standing(ann.account, timezone.now())
    connection.ensure_connection()
    with connection.execute_wrapper(_gone):
        assert suggestion(admission.snapshot, 30, timezone.now()) is None


def _gone(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
    from django.db import OperationalError

    raise OperationalError("the server closed the connection")
