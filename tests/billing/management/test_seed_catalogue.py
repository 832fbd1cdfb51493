"""manage.py seed_catalogue: the default catalogue, made once and then left to the staff."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from billing.catalogue import seed as default_catalogue
from billing.catalogue.seed import Seeded
from billing.models import Capability, Feature, ModelPrice, Plan, Route

pytestmark = pytest.mark.django_db

PLANS = {
    "community": (0, 100, 10, set()),
    "starter": (29, 500, 30, {"investigator"}),
    "pro": (49, None, 100, {"investigator", "correlation"}),
    "business": (99, None, 200, {"investigator", "correlation", "ai_agents"}),
    "plus": (199, None, 500, {"investigator", "correlation", "ai_agents"}),
    "enterprise": (499, None, None, {"investigator", "correlation", "ai_agents"}),
}
FEATURES = {
    "trace_start": (10, None, "/api/v1/trace/start"),
    "trace_expand": (5, None, "/api/v1/trace/expand"),
    "graph_query": (3, "investigator", "/api/v1/graph/nodes"),
    "pattern_detection": (8, "correlation", "/api/v1/patterns/detect"),
    "ai_agent_query": (5, "ai_agents", "/api/v1/agent/query"),
    "risk_score": (2, None, "/api/v1/risk/score"),
    "wallet_scan": (7, None, "/api/v1/wallet-scanner/scan"),
    "report_generate": (4, None, "/api/v1/reports/generate"),
}


def seed() -> str:
    output = StringIO()
    call_command("seed_catalogue", stdout=output)
    return output.getvalue()


def test_the_default_plans_are_those_of_the_design() -> None:
    seed()
    found = {
        plan.code: (
            plan.price,
            plan.monthly_token_quota,
            plan.requests_per_minute,
            set(plan.capabilities.values_list("code", flat=True)),
        )
        for plan in Plan.objects.all()
    }
    assert found == PLANS
    assert list(Plan.objects.order_by("rank").values_list("code", flat=True)) == list(PLANS)
    assert {(plan.currency, plan.interval) for plan in Plan.objects.all()} == {("USD", "month")}


def test_community_is_the_plan_to_start_on() -> None:
    seed()
    assert [plan.code for plan in Plan.objects.filter(is_default=True)] == ["community"]


def test_the_default_features_are_those_of_the_design() -> None:
    seed()
    found = {
        feature.code: (feature.tokens, feature.capability and feature.capability.code, feature.routes.get().path)
        for feature in Feature.objects.all()
    }
    assert found == FEATURES


def test_every_row_is_valid_in_the_admins_eyes() -> None:
    seed()
    for model in (Capability, Plan, Feature, Route, ModelPrice):
        for row in model.objects.all():
            row.full_clean()


def test_all_rows_are_made_at_one_instant() -> None:
    seed()
    rows = (*Plan.objects.all(), *Feature.objects.all())
    assert len({row.created_at for row in rows}) == 1


def test_one_line_says_what_was_made_and_the_second_run_makes_nothing() -> None:
    assert seed() == "catalogue: created capabilities: 3, plans: 6, features: 8, routes: 8, models: 2\n"
    history = Plan.history.count()
    assert seed() == "catalogue: nothing was missing, nothing changed\n"
    assert Plan.history.count() == history


def test_what_staff_edited_stays_as_they_left_it() -> None:
    seed()
    starter = Plan.objects.get(code="starter")
    starter.price, starter.requests_per_minute = Decimal(31), None
    starter.save()
    starter.capabilities.clear()
    trace = Feature.objects.get(code="trace_start")
    trace.tokens = 12
    trace.save()
    trace.routes.all().delete()
    seed()
    starter.refresh_from_db()
    assert (starter.price, starter.requests_per_minute, starter.capabilities.count()) == (31, None, 0)
    assert Feature.objects.get(code="trace_start").tokens == 12
    assert not Route.objects.filter(path="/api/v1/trace/start").exists()


def test_another_default_plan_stays_the_default() -> None:
    Plan.objects.create(code="free", name="Free", price=0, is_default=True)
    seed()
    assert [plan.code for plan in Plan.objects.filter(is_default=True)] == ["free"]


def test_a_missing_row_alone_is_made_again() -> None:
    seed()
    Feature.objects.get(code="risk_score").delete()
    assert seed() == "catalogue: created features: 1, routes: 1\n"


def test_a_path_that_staff_gave_to_another_feature_stays_there() -> None:
    seed()
    Feature.objects.get(code="risk_score").delete()
    Route.objects.create(path="/api/v1/risk/score", feature=Feature.objects.get(code="wallet_scan"))
    seed()
    assert Route.objects.get(path="/api/v1/risk/score").feature.code == "wallet_scan"


@pytest.mark.django_db(transaction=True)
def test_two_runs_at_once_make_one_catalogue() -> None:
    def run() -> Seeded:
        try:
            return default_catalogue.seed(timezone.now())
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        made = [future.result() for future in [pool.submit(run) for _ in range(2)]]
    assert sorted(seeded.plans for seeded in made) == [0, 6]
    assert (Plan.objects.count(), Feature.objects.count(), Route.objects.count()) == (6, 8, 8)
