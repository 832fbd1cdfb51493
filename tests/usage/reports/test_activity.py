"""Which capabilities are in active use: every call answered before counts, voided ones do not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.models import Capability, Feature
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.usage.histories import admit
from usage.metering import voiding
from usage.reports.activity import check_active_features

pytestmark = pytest.mark.django_db


def active(customer: Customer) -> set[str]:
    return check_active_features(customer.account, timezone.now())


def test_capabilities_of_what_was_called_before(dave: Customer, carol: Customer) -> None:
    assert active(dave) == set()
    admit(dave, "graph_query")
    admit(dave, "trace_start")
    admit(carol, "pattern_detection")
    assert active(dave) == {"investigator"}
    admit(dave, "ai_agent_query", source="track")
    assert active(dave) == {"ai_agents", "investigator"}


def test_a_call_that_failed_or_was_taken_back_does_not_count(dave: Customer) -> None:
    voiding.void_failed_call(admit(dave, "graph_query"))
    dave.api.get("/api/v1/patterns/detect?fail=500")
    event = dave.post("/api/v1/usage/track", {"feature": "ai_agent_query"}).json()["event"]
    assert active(dave) == {"ai_agents"}
    dave.api.delete(f"/api/v1/usage/events/{event}")
    assert active(dave) == set()
    admit(dave, "graph_query")
    assert active(dave) == {"investigator"}


def test_a_call_that_cost_nothing_counts(dave: Customer) -> None:
    Feature.objects.filter(code="graph_query").update(tokens=0)
    admit(dave, "graph_query")
    assert active(dave) == {"investigator"}


@pytest.mark.parametrize(("days", "expected"), [(29, {"investigator"}), (30, {"investigator"}), (31, set())])
def test_for_thirty_days(dave: Customer, days: int, expected: set[str]) -> None:
    with moved_by_hand("2031-03-14T12:00:00Z") as clock:
        admit(dave, "graph_query")
        clock.tick(timedelta(days=days))
        assert active(dave) == expected


def test_the_capability_is_the_one_the_feature_needs_now(dave: Customer) -> None:
    admit(dave, "graph_query")
    Feature.objects.filter(code="graph_query").update(capability=Capability.objects.get(code="correlation"))
    assert active(dave) == {"correlation"}
