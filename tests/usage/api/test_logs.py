"""The audit log of one account over HTTP."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.cast import Customer
from usage.drain import drain

pytestmark = pytest.mark.django_db


def test_newest_first_with_voids_and_metadata(dave: Customer) -> None:
    dave.api.get("/api/v1/trace/start")
    event = dave.post("/api/v1/usage/track", {"feature": "risk_score", "metadata": {"job": 7}}).json()["event"]
    assert dave.api.delete(f"/api/v1/usage/events/{event}").status_code == 204
    drain.drain()
    page = dave.api.get("/api/v1/usage/logs").json()
    assert (page["next"], page["previous"]) == (None, None)
    seen = [(row["feature"], row["kind"], row["tokens"], row["metadata"]) for row in page["results"]]
    assert sorted(seen[:2]) == [("risk_score", "charge", 2, {"job": 7}), ("risk_score", "void", -2, {"job": 7})]
    assert seen[2:] == [("trace_start", "charge", 10, None)]
    assert {row["event"] for row in page["results"][:2]} == {event}


def test_filters(bob: Customer) -> None:
    bob.api.get("/api/v1/trace/start")
    bob.api.get("/api/v1/graph/nodes")
    drain.drain()
    today = datetime.now(UTC).date()
    tomorrow, yesterday = today + timedelta(days=1), today - timedelta(days=1)

    def features(query: str) -> list[str]:
        return sorted(row["feature"] for row in bob.api.get(f"/api/v1/usage/logs?{query}").json()["results"])

    assert features("feature=graph_query") == ["graph_query"]
    assert features(f"from={yesterday}&to={tomorrow}") == ["graph_query", "trace_start"]
    assert features(f"from={tomorrow}") == features(f"to={yesterday}") == features("feature=unheard_of") == []


def test_pages(bob: Customer) -> None:
    for _ in range(5):
        bob.api.get("/api/v1/risk/score")
    drain.drain()
    first = bob.api.get("/api/v1/usage/logs?limit=3").json()
    second = bob.api.get(first["next"]).json()
    events = [row["event"] for row in first["results"] + second["results"]]
    assert (len(first["results"]), len(second["results"]), second["next"], len(set(events))) == (3, 2, None, 5)


@pytest.mark.parametrize(
    "query",
    ["from=never", "from=2025-1-5", "from=20250105", "to=2025-W42", "to=9999-12-31", "limits=3", "feature=" + "x" * 51],
)
def test_a_query_that_makes_no_sense_is_refused(bob: Customer, query: str) -> None:
    assert bob.api.get(f"/api/v1/usage/logs?{query}").status_code == 400


def test_nobody_sees_anothers_log(alice: Customer, bob: Customer) -> None:
    bob.api.get("/api/v1/trace/start")
    drain.drain()
    assert alice.api.get("/api/v1/usage/logs").json()["results"] == []
