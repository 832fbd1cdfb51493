"""The admin's pages of features, routes and capabilities; who may see the catalogue, and its history."""

from __future__ import annotations

from typing import Any

import pytest

from billing.catalogue import in_memory
from billing.models import Capability, Feature, Fence, Plan, Route
from ratelimit import keys
from tests.billing.forms import edit_plan, form_errors, plan_form
from tests.cast import Customer, Staff, call
from tests.redis_commands import version_in_redis

pytestmark = pytest.mark.django_db
committed = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("page", ["plan", "feature", "route", "capability"])
def test_every_page_opens(superuser: Staff, catalogue: None, page: str) -> None:
    model = {"plan": Plan, "feature": Feature, "route": Route, "capability": Capability}[page]
    row = model.objects.all()[0]  # type: ignore[attr-defined]
    for address in ("", "?q=a", "add/", f"{row.pk}/change/", f"{row.pk}/history/"):
        assert superuser.open(f"billing/{page}/{address}").status_code == 200, address


@committed
def test_a_features_cost_and_route_hold_for_the_next_call(superuser: Staff, alice: Customer) -> None:
    feature = Feature.objects.get(code="trace_start")
    route = feature.routes.get()
    inline: dict[str, Any] = {
        "routes-TOTAL_FORMS": 2,
        "routes-INITIAL_FORMS": 1,
        "routes-0-id": route.pk,
        "routes-0-feature": feature.pk,
        "routes-0-path": route.path,
        "routes-0-method": "",
        "routes-1-feature": feature.pk,
        "routes-1-path": "/API/v2//Trace/",
        "routes-1-method": "POST",
    }
    page = f"billing/feature/{feature.pk}/change/"
    assert superuser.send(page, name="Trace", tokens=99, capability="", **inline).status_code == 302
    assert call(alice, "trace_start").admitted, "99 of 100 are left"
    present = in_memory.catalogue()
    assert present.features["trace_start"].tokens == 99
    metered = present.feature_at("POST", "/api/v2/trace/7")
    assert metered is not None and metered.code == "trace_start"
    assert present.feature_at("GET", "/api/v2/trace/7") is None


def test_two_spellings_of_one_path_are_an_error_of_the_form(superuser: Staff, catalogue: None) -> None:
    feature = Feature.objects.get(code="trace_start")
    inline = {"routes-TOTAL_FORMS": 2, "routes-INITIAL_FORMS": 0}
    inline |= {f"routes-{row}-method": "" for row in (0, 1)}  # type: ignore[misc]
    paths = {"routes-0-path": "/api/v2/Trace", "routes-1-path": "/api//v2/trace/"}
    response = superuser.send(f"billing/feature/{feature.pk}/change/", tokens=1, **inline, **paths)
    assert response.status_code == 200
    assert "Please correct the duplicate data" in response.content.decode()


def test_a_path_already_routed_is_an_error_of_the_form(superuser: Staff, catalogue: None) -> None:
    feature = Feature.objects.get(code="trace_start")
    response = superuser.send("billing/route/add/", path="/API/v1/risk/score/", method="", feature=feature.pk)
    assert "already exists" in str(form_errors(response))
    response = superuser.send("billing/route/add/", path="https://example.com/x", method="", feature=feature.pk)
    assert "Give a path such as" in str(form_errors(response))


def test_history_says_who_changed_what(superuser: Staff, catalogue: None) -> None:
    edit_plan(superuser, "starter", price="35.00", monthly_token_quota="")
    text = superuser.open(f"billing/plan/{Plan.objects.get(code='starter').pk}/history/").content.decode()
    assert "29 → 35" in text
    assert "500 → unlimited" in text
    assert "sue" in text


def test_history_cannot_be_written_back_by_anybody(superuser: Staff, clerk: Staff, catalogue: None) -> None:
    edit_plan(superuser, "starter", price="35.00")
    plan = Plan.objects.get(code="starter")
    oldest = plan.history.earliest()
    for staff in (superuser, clerk.may("billing.view_plan")):
        page = f"billing/plan/{plan.pk}/history/{oldest.pk}/"
        assert staff.send(page, **plan_form(plan, price="29")).status_code == 403
    plan.refresh_from_db()
    assert plan.price == 35


def test_permissions_are_djangos(clerk: Staff, alice: Customer) -> None:
    plan = Plan.objects.get(code="starter")
    for page in ("billing/plan/", "billing/plan/add/", f"billing/plan/{plan.pk}/change/"):
        assert clerk.open(page).status_code == 403
    clerk.may("billing.view_plan")
    assert clerk.open("billing/plan/").status_code == 200
    assert edit_plan(clerk, "starter", price="1").status_code == 403
    assert clerk.send(f"billing/plan/{plan.pk}/archive/").status_code == 403
    alice_in_a_browser = Staff(alice.user)
    assert alice_in_a_browser.open("billing/plan/").status_code == 403


def test_the_sidebar_shows_what_the_permissions_open(clerk: Staff, catalogue: None) -> None:
    text = clerk.may("billing.view_plan").open("billing/plan/").content.decode()
    assert "/admin/billing/plan/" in text
    assert "/admin/usage/usagelog/" not in text


@committed
def test_deleting_pushes_the_fence_too(superuser: Staff, catalogue: None) -> None:
    chosen = list(Route.objects.values_list("pk", flat=True)[:2])
    deletion = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    superuser.client.post("/admin/billing/route/", deletion)
    assert not Route.objects.filter(pk__in=chosen).exists()
    assert version_in_redis(keys.catalogue_fence(0)) == Fence.objects.get(subject=0).version


def test_a_capability_in_need_is_not_deleted(superuser: Staff, catalogue: None) -> None:
    capability = Capability.objects.get(code="investigator")
    superuser.send(f"billing/capability/{capability.pk}/delete/", post="yes")
    assert Capability.objects.filter(pk=capability.pk).exists()
