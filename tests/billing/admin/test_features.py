"""The admin's form of routes: what can never match is refused there, and it says which view answers."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings as site_settings
from django.core.exceptions import ValidationError
from django.test import Client

from billing.admin.catalogue.features import views_answering
from billing.models import Feature, Route
from billing.rules.routes import why_no_route
from billing_site.openapi.document import document
from tests.billing.forms import form_errors
from tests.cast import Staff
from usage.api.report_serializers import BREAKDOWN_SCHEMA

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("catalogue")]


def add(staff: Staff, path: str, method: str = "") -> Any:
    feature = Feature.objects.get(code="trace_start")
    page = {"path": path, "method": method, "feature": feature.pk}
    return staff.client.post("/admin/billing/route/add/", page, follow=True)


@pytest.mark.parametrize("path", ["/a/*", "/a/{id}x", "/a/./b", "/a/../b", "/a/<int:id>", "//", "/a/\x00b"])
def test_what_cannot_match_is_an_error_of_the_form(superuser: Staff, path: str) -> None:
    assert form_errors(add(superuser, path))
    assert not Route.objects.filter(path__startswith="/a/").exists()


@pytest.mark.parametrize(
    "path",
    ["/admin", "/Admin//", "/admin/billing", "/api/auth/login", "/api/docs", "/health", "/metrics", "/static/x", "/api"]
    + [f"/api/v1{path}" for path in ("", "/plans", "/usage/track", "/billing", "/features", "/keys", "/webhooks")],
)
def test_so_is_what_is_the_products_own(superuser: Staff, path: str) -> None:
    assert "the product's own" in str(form_errors(add(superuser, path)))


def test_every_path_that_the_schema_shows_is_own_unless_it_is_metered() -> None:
    features = set(Route.objects.values_list("path", flat=True))
    open_paths = {path for path in document()["paths"] if why_no_route(path, site_settings.OWN_PATHS) is None}
    assert open_paths == features


def test_a_segment_may_be_a_parameter_and_two_of_one_shape_are_one_too_many(superuser: Staff) -> None:
    assert add(superuser, "/a/{Id}/b").redirect_chain
    assert Route.objects.filter(path="/a/{id}/b").exists()
    assert "covers the same paths" in str(form_errors(add(superuser, "/a/{other}/b")))
    assert add(superuser, "/a/{other}/b", "POST").redirect_chain, "of another method"


def test_what_is_free_once_a_route_is_deleted_is_said_before(superuser: Staff) -> None:
    feature = Feature.objects.get(code="graph_query")
    for page in (f"feature/{feature.pk}", f"route/{feature.routes.get().pk}"):
        asked = superuser.open(f"billing/{page}/delete/").content.decode()
        assert "Calls of /api/v1/graph/nodes cost nothing from then on" in asked, page
    chosen = {"action": "delete_selected", "_selected_action": feature.pk}
    assert "cost nothing from then on" in superuser.client.post("/admin/billing/feature/", chosen).content.decode()
    assert Feature.objects.filter(pk=feature.pk).exists()


@pytest.mark.parametrize(("code", "refused"), [("total", True), ("totals", False), ("sub_total", False)])
def test_a_feature_is_not_named_like_a_member_of_an_answer(superuser: Staff, code: str, refused: bool) -> None:
    inline = {"routes-TOTAL_FORMS": 0, "routes-INITIAL_FORMS": 0}
    response = superuser.send("billing/feature/add/", code=code, tokens=1, **inline)
    assert ("has a meaning in answers" in response.content.decode()) == refused
    assert Feature.objects.filter(code=code).exists() != refused


def test_a_feature_that_has_such_a_name_can_still_be_edited(superuser: Staff) -> None:
    feature = Feature.objects.create(code="total", tokens=1)
    inline = {"routes-TOTAL_FORMS": 0, "routes-INITIAL_FORMS": 0}
    assert superuser.send(f"billing/feature/{feature.pk}/change/", tokens=2, **inline).status_code == 302


def test_the_names_are_those_of_the_schema() -> None:
    assert set(BREAKDOWN_SCHEMA["properties"]) == Feature.MEMBERS_BESIDE_CODES


def test_the_row_itself_refuses_what_the_form_does() -> None:
    with pytest.raises(ValidationError):
        Route(path="/admin", feature=Feature.objects.get(code="trace_start")).full_clean()


def test_a_row_that_got_past_the_form_locks_nobody_out(superuser: Staff, caplog: pytest.LogCaptureFixture) -> None:
    for path in ("/admin", "/api/auth", "/"):
        Route.objects.create(path=path, feature=Feature.objects.get(code="trace_start"))
    assert superuser.open("billing/route/").status_code == 200
    assert Client().get("/api/auth/login/").status_code == 200
    assert "the route any /admin is left out" in caplog.text


class TestWhichViewAnswers:
    def test_staff_are_told_when_they_save(self, superuser: Staff) -> None:
        text = add(superuser, "/api/v1/trace").content.decode()
        assert "no view was found there" in text
        assert (
            "answered by billing_site.sandbox.SandboxView"
            in add(superuser, "/api/v1/trace/start/deep").content.decode()
        )

    def test_the_form_shows_it(self, superuser: Staff) -> None:
        route = Route.objects.get(path="/api/v1/trace/start")
        for page in (f"billing/route/{route.pk}/change/", f"billing/feature/{route.feature_id}/change/"):
            assert "billing_site.sandbox.SandboxView" in superuser.open(page).content.decode()

    def test_below_a_prefix_at_a_parameter_and_in_any_case(self, settings: Any) -> None:
        settings.ROOT_URLCONF = "tests.host_urls"
        assert views_answering("/host/plain") == ["tests.host_urls.plain"]
        assert "tests.host_urls.NamesakeView" in views_answering("/host")
        assert views_answering("/host/items/{id}/parts") == ["tests.host_urls.plain"]
        assert views_answering("/host/items") == ["tests.host_urls.plain"]
        assert views_answering("/host/nothing") == views_answering("/api/v1/nothing") == []
