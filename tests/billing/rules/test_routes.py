"""What a route can name, and which of two routes a path belongs to."""

from __future__ import annotations

import pytest

from billing.rules.routes import ParameterRoutes, why_no_route

OWN = ("/admin", "/api/v1/plans", "/api/docs")


@pytest.mark.parametrize(
    "path",
    ["/a", "/a/{id}", "/a/{id}/b", "/a/{one}/{two}", "/café/x", "/v1/model:predict", "/a/.b", "/a/..b", "/a-b_c~d/@x"],
)
def test_what_can_match_can_be_a_route(path: str) -> None:
    assert why_no_route(path, OWN) is None


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/a/*", "Leave out “*”"),
        ("/a*/b", "Leave out “*”"),
        ("/a/./b", "clients resolve it"),
        ("/a/../b", "clients resolve it"),
        ("/a/..", "clients resolve it"),
        ("/a/{id}x", "no segment"),
        ("/a/{}", "no segment"),
        ("/a/{1}", "no segment"),
        ("/a/{id", "no segment"),
        ("/a/id}", "no segment"),
        ("/a/{{id}}", "no segment"),
        ("/a/<int:id>", "no segment"),
        ("/a/:id", "no segment"),
        ("/a\\b", "no segment"),
        ("/a\x00", "no segment"),
        ("/", "no segment"),
    ],
)
def test_what_cannot_is_refused(path: str, sentence: str) -> None:
    assert sentence in str(why_no_route(path, OWN))


@pytest.mark.parametrize(
    "path",
    ["/admin", "/admin/x", "/api", "/api/v1", "/api/v1/plans", "/api/v1/plans/pro", "/{any}", "/api/{version}/plans"],
)
def test_over_under_and_at_the_products_own_it_is_refused(path: str) -> None:
    assert "the product's own" in str(why_no_route(path, OWN))


@pytest.mark.parametrize("path", ["/administration", "/api/v1/planes", "/api/v2", "/api/v1/trace", "/api/v2/{plan}"])
def test_beside_it_is_not(path: str) -> None:
    assert why_no_route(path, OWN) is None


def test_what_is_written_out_goes_before_a_parameter_and_a_method_before_none() -> None:
    routes = ParameterRoutes(
        {("/a/{id}/b", ""): "any", ("/a/{id}/b", "POST"): "post", ("/{x}/c/b", ""): "late", ("/a/{id}/{z}", ""): "two"}
    )
    found = {
        path: routes.feature_at("POST", path) for path in ("/a/7/b", "/a/c/b", "/a/7/z", "/q/c/b", "/a/7", "/a//b")
    }
    assert found == {
        "/a/7/b": "post",
        "/a/c/b": "post",
        "/a/7/z": "two",
        "/q/c/b": "late",
        "/a/7": None,
        "/a//b": None,
    }
    assert routes.feature_at("GET", "/a/7/b") == "any"


def test_a_dot_in_a_route_is_a_dot() -> None:
    routes = ParameterRoutes({("/a.b/{id}", ""): "dotted"})
    assert (routes.feature_at("GET", "/a.b/1"), routes.feature_at("GET", "/axb/1")) == ("dotted", None)
