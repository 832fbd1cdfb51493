"""Lists: `next` and `previous` are inverse, and no row is skipped or repeated, also where rows share an instant."""

from __future__ import annotations

import json
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.utils import timezone

from billing.models import Feature, Invoice, InvoiceLine, Plan, Subscription
from tests.cast import Customer
from usage.log.months import partitions
from usage.models import UsageLog

pytestmark = pytest.mark.django_db
NOW = datetime(2031, 3, 14, 10, tzinfo=UTC)
INSTANTS: dict[str, Callable[[int], datetime]] = {
    "all at one instant": lambda _: NOW,
    "each at its own": lambda at: NOW + timedelta(microseconds=at),
    "three at one": lambda at: NOW + timedelta(seconds=at // 3),
    "first and last alone": lambda at: NOW + timedelta(seconds=(at > 0) + (at > 5)),
}
ROWS = 7


def plans(customer: Customer, instant: Callable[[int], datetime]) -> str:
    for at, plan in enumerate(Plan.objects.order_by("-rank")):
        Plan.objects.filter(pk=plan.pk).update(created_at=instant(at))
    Plan.objects.create(code="one-more", name="One more", price=1, rank=3, created_at=instant(6))
    return "plans"


def features(customer: Customer, instant: Callable[[int], datetime]) -> str:
    Feature.objects.order_by("-pk")[0].delete()
    for at, feature in enumerate(Feature.objects.order_by("?")):
        Feature.objects.filter(pk=feature.pk).update(created_at=instant(at))
    return "features"


def invoices(customer: Customer, instant: Callable[[int], datetime]) -> str:
    subscription = Subscription.objects.get(account=customer.account)
    for at in range(Invoice.objects.count(), ROWS):
        invoice = Invoice.objects.create(account=customer.user, subscription=subscription, currency="USD", total=0)
        period = {"period_start": NOW, "period_end": NOW + timedelta(days=1)}
        InvoiceLine.objects.create(invoice=invoice, position=1, kind="base", description="One", amount=0, **period)
        issued = {"number": f"T-{at}", "status": Invoice.Status.PAID, "issued_at": instant(at), "due_at": NOW}
        Invoice.objects.filter(pk=invoice.pk).update(**issued)
    return "billing/invoices"


def logs(customer: Customer, instant: Callable[[int], datetime]) -> str:
    partitions.ensure([timezone.now()])
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    UsageLog.objects.bulk_create(
        UsageLog(
            id=uuid.UUID(int=(at * 5) % 7 + 1), event_id=uuid.uuid4(), created_at=NOW,
            account=customer.user, feature="trace_start", tokens=1,
            kind=UsageLog.Kind.CHARGE, charged_at=today + (instant(at) - NOW), window_starts_at=NOW,
        )
        for at in range(ROWS)
    )  # fmt: skip
    return "usage/logs"


LISTS = [plans, features, invoices, logs]


def get(customer: Customer, url: str) -> Any:
    response = customer.api.get(url)
    assert response.status_code == 200, response.content
    return response.json()


@pytest.mark.parametrize("instant", INSTANTS)
@pytest.mark.parametrize("make", LISTS)
def test_next_and_previous_are_inverse(erin: Customer, make: Any, instant: str) -> None:
    path = f"/api/v1/{make(erin, INSTANTS[instant])}"
    whole = get(erin, path)
    assert len(whole["results"]) == ROWS and whole["next"] is None and whole["previous"] is None
    for limit in (1, 3, 6, 7):
        page = get(erin, f"{path}?limit={limit}")
        assert page["previous"] is None
        pages = [page]
        while page["next"]:
            page = get(erin, page["next"])
            pages.append(page)
        assert [row for page in pages for row in page["results"]] == whole["results"]
        for before, page in pairwise(pages):
            back = get(erin, page["previous"])
            assert back["results"] == before["results"]
            assert get(erin, back["next"])["results"] == page["results"]
            assert (back["previous"] is None) == (before["previous"] is None)


def test_a_page_that_has_emptied_leads_back(erin: Customer) -> None:
    path = f"/api/v1/{plans(erin, INSTANTS['all at one instant'])}?limit=6"
    page = get(erin, path)
    last = get(erin, page["next"])
    Plan.objects.filter(code="enterprise").update(archived_at=NOW)
    emptied = get(erin, page["next"])
    assert (emptied["results"], emptied["next"]) == ([], None)
    assert get(erin, emptied["previous"])["results"] == page["results"]
    Plan.objects.update(is_default=False, archived_at=NOW)
    Plan.objects.filter(code="enterprise").update(archived_at=None)
    emptied = get(erin, last["previous"])
    assert (emptied["results"], emptied["previous"]) == ([], None)
    assert get(erin, emptied["next"])["results"] == last["results"]


def test_a_row_that_comes_meanwhile_moves_no_other(erin: Customer) -> None:
    page = get(erin, f"/api/v1/{plans(erin, INSTANTS['each at its own'])}?limit=3")
    second = get(erin, page["next"])
    Plan.objects.create(code="newest", name="Newest", price=1, created_at=NOW + timedelta(days=1))
    assert get(erin, page["next"])["results"] == second["results"]
    assert get(erin, second["previous"])["results"] == page["results"]


@pytest.mark.parametrize(
    "said",
    [
        None, 1, [], [True], {"a": 1}, [0, None], ["x", ["1", "1", "1"]], [False, ["1"]], [False, "abc"],
        [True, [None, None, None]], [True, ["2031-01-01", "1", "1"]], [False, ["2031-01-01T00:00:00Z", "\0", "1"]],
        [False, ["2031-01-01T00:00:00Z", "x", "1"]], [False, ["9999-99-99T00:00:00Z", "1", "1"]], [True, [{}, [], 1]],
        [False, ["2031-01-01T00:00:00Z", "1", 1.5]],
    ],
)  # fmt: skip
def test_a_cursor_that_was_made_up_is_refused(erin: Customer, said: Any) -> None:
    cursor = urlsafe_b64encode(json.dumps(said).encode()).decode()
    for path in ("plans", "features", "billing/invoices", "usage/logs"):
        response = erin.api.get(f"/api/v1/{path}", {"cursor": cursor})
        if response.status_code != 200:
            assert (response.status_code, list(response.json()["errors"])) == (400, ["cursor"])
        else:
            assert path == "plans" and said[1] is not None, "values that a row could have"


@pytest.mark.parametrize("cursor", ["", "x", "é", "\0", "cD0yMDI1", "=" * 10, "A" * 5000, "W" * 40])
def test_a_cursor_that_says_nothing_is_refused(erin: Customer, cursor: str) -> None:
    for path in ("plans", "features", "billing/invoices", "usage/logs"):
        assert erin.api.get(f"/api/v1/{path}", {"cursor": cursor}).status_code == 400
