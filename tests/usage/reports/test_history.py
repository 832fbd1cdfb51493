"""Usage day by day: the rule, and the endpoint."""

from datetime import UTC, date, datetime, timedelta

import pytest

from tests.cast import Customer
from usage.drain import drain
from usage.reports.history import entries


def test_every_day_has_an_entry_and_only_its_own_sums() -> None:
    sums = [(date(2026, 2, 28), "a", 5, 1), (date(2026, 2, 28), "b", 3, 1), (date(2026, 3, 1), "a", 5, 1)]
    found = entries(date(2026, 2, 27), date(2026, 3, 2), "day", sums)
    assert [(e.date.day, e.tokens, e.calls, e.features) for e in found] == [
        (27, 0, 0, {}),
        (28, 8, 2, {"a": 5, "b": 3}),
        (1, 5, 1, {"a": 5}),
        (2, 0, 0, {}),
    ]


def test_months_are_named_by_their_first_day_and_hold_only_the_days_asked_for() -> None:
    sums = [(date(2026, 2, 28), "a", 5, 1), (date(2026, 3, 1), "a", 7, 1)]
    found = entries(date(2026, 2, 15), date(2026, 3, 1), "month", sums)
    assert [(e.date, e.tokens) for e in found] == [(date(2026, 2, 1), 5), (date(2026, 3, 1), 7)]


def test_a_day_of_calls_that_were_all_voided_is_empty() -> None:
    (entry,) = entries(date(2026, 2, 1), date(2026, 2, 1), "day", [(date(2026, 2, 1), "a", 0, 0)])
    assert (entry.tokens, entry.calls, entry.features) == (0, 0, {})


@pytest.mark.django_db
def test_the_default_is_the_last_thirty_days(bob: Customer) -> None:
    bob.api.get("/api/v1/trace/start")
    bob.api.get("/api/v1/graph/nodes")
    drain.drain()
    entries = bob.api.get("/api/v1/usage/history").json()
    today = datetime.now(UTC).date()
    assert [entry["date"] for entry in entries] == [str(today - timedelta(days=n)) for n in reversed(range(30))]
    assert entries[-1] == {
        "date": str(today),
        "tokens": 13,
        "calls": 2,
        "features": {"graph_query": 3, "trace_start": 10},
    }


@pytest.mark.django_db
@pytest.mark.parametrize(("days", "status"), [(400, 200), (401, 400)])
def test_at_most_400_days(bob: Customer, days: int, status: int) -> None:
    first = date(2026, 1, 1)
    last = first + timedelta(days=days - 1)
    response = bob.api.get(f"/api/v1/usage/history?from={first}&to={last}&granularity=month")
    assert response.status_code == status


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2026-02-02&to=2026-02-01", "from"),
        ("from=yesterday", "from"),
        ("to=0001-01-02", "to"),
        ("granularity=hour", "granularity"),
        ("since=2026-02-02", "since"),
    ],
)
def test_a_query_that_makes_no_sense_is_named(bob: Customer, query: str, field: str) -> None:
    response = bob.api.get(f"/api/v1/usage/history?{query}")
    assert (response.status_code, list(response.json()["errors"])) == (400, [field])


@pytest.mark.django_db
def test_nobody_sees_anothers_history(alice: Customer, bob: Customer) -> None:
    bob.api.get("/api/v1/trace/start")
    drain.drain()
    assert sum(entry["calls"] for entry in alice.api.get("/api/v1/usage/history").json()) == 0
