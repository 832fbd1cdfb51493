"""What a proxy describes: by headers, by the path behind the door's, and what of it is a 400."""

from __future__ import annotations

import pytest
from django.test import Client

from billing.models import Feature, Route
from tests.billing_site.forward_auth.test_views import DOOR, START, ask, charges, code, trusted
from tests.billing_site.test_gateway import used
from tests.cast import Customer
from tests.contract import left
from usage.models import UsageLog

__all__ = ["trusted"]
pytestmark = pytest.mark.django_db


class TestWhatIsDescribed:
    @pytest.mark.parametrize("names", ["Original", "Forwarded"])
    @pytest.mark.parametrize("own", ["GET", "POST", "HEAD", "DELETE", "OPTIONS", "PROPFIND"])
    def test_headers_and_any_method_of_the_proxys_own(self, bob: Customer, names: str, own: str) -> None:
        headers = {f"X-{names}-Method": "POST", f"X-{names}-Uri": f"{START}/7?depth=2"}
        client = Client(headers={"authorization": f"Bearer {bob.key}"})  # the document has two of the methods
        response = client.generic(own, DOOR, headers=headers)
        assert response.status_code == 200 and response.content == b""
        assert (response["X-Account-Id"], response["X-Plan"]) == (str(bob.account), "starter")
        assert response["X-Usage-Cost"] == "10"
        assert left(response) == {"minute": 29, "quota": 490}
        assert charges(bob) == [("charge", 10, "authorize")]
        assert str(UsageLog.objects.get().event_id) == response["X-Usage-Event"]

    @pytest.mark.parametrize("own", ["GET", "POST", "HEAD"])
    def test_the_path_behind_the_doors(self, bob: Customer, own: str) -> None:
        Route.objects.create(path="/trace", method="POST", feature=Feature.objects.create(code="post", tokens=3))
        response = bob.api.generic(own, f"{DOOR}/trace/7?as=nginx&whatever=1")
        assert response.status_code == 200
        assert response.get("X-Usage-Cost") == ("3" if own == "POST" else None)

    def test_the_path_as_the_server_got_it_tells_encoded_slashes(self, bob: Customer) -> None:
        Route.objects.create(path="/items/{id}/parts", feature=Feature.objects.create(code="parts", tokens=3))
        response = bob.api.get(f"{DOOR}/items/a/b/parts", RAW_URI=f"{DOOR}/items/a%2fb/parts?x=1")
        assert response["X-Usage-Cost"] == "3", "some servers route before they decode"

    def test_a_slash_at_the_doors_end(self, bob: Customer) -> None:
        headers = {"X-Original-Method": "GET", "X-Original-URI": START}
        assert bob.api.get(f"{DOOR}/", headers=headers)["X-Usage-Cost"] == "10"
        assert bob.api.get(f"{DOOR}/").status_code == 200, "the product's first page"

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"X-Original-Method": "GET"},
            {"X-Original-URI": START},
            {"X-Original-Method": "", "X-Original-URI": ""},
            {"X-Original-Method": "GET", "X-Original-URI": START, "X-Forwarded-Uri": "/api/v1/plans"},
            {"X-Original-Method": "GET", "X-Original-URI": START, "X-Forwarded-Method": "OPTIONS"},
            {"X-Original-Method": "GET, OPTIONS", "X-Original-URI": START},
            {"X-Original-Method": "GET", "X-Original-URI": f"{START}, /api/v1/plans"[::-1]},
            {"X-Original-Method": "GET", "X-Original-URI": "*"},
            {"X-Original-Method": "GET", "X-Original-URI": f"{START}%00"},
        ],
    )
    def test_none_two_and_nonsense_are_a_400(self, bob: Customer, headers: dict[str, str]) -> None:
        response = bob.api.get(DOOR, headers=headers)
        assert code(response) == (400, "invalid") and len(response.json()["errors"]) == 1
        assert used(bob) == 0

    def test_path_and_headers_disagree(self, bob: Customer) -> None:
        headers = {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/api/v1/plans"}
        assert code(bob.api.get(f"{DOOR}{START}", headers=headers)) == (400, "invalid")
        headers["X-Forwarded-Uri"] = START
        assert bob.api.get(f"{DOOR}{START}", headers=headers).status_code == 200
        assert code(bob.api.post(f"{DOOR}{START}", headers=headers)) == (400, "invalid")

    @pytest.mark.parametrize("uri", ["/", "/elsewhere", "/admin/", "/api/v1/plans", DOOR, f"{DOOR}{START}", "/health"])
    def test_an_unrouted_path_costs_a_request(self, bob: Customer, uri: str) -> None:
        response = ask(bob.api, uri, "POST")
        assert response.status_code == 200
        assert (response["X-Usage-Event"], response.get("X-Usage-Cost")) == ("", None)
        assert left(response) == {"minute": 29, "quota": 500}
        assert charges(bob) == []

    @pytest.mark.parametrize("uri", ["/api/v1/usage/track", "/api/v1/usage/reservations", "/api/v1/mcp"])
    def test_a_view_that_names_its_charge_is_charged_where_it_is(self, dave: Customer, uri: str) -> None:
        response = dave.api.generic(
            "POST",
            DOOR,
            '{"feature": "trace_start", "tokens": 5}',
            content_type="application/json",
            headers={"X-Original-Method": "POST", "X-Original-URI": uri},
        )
        assert (response.status_code, response["X-Usage-Event"]) == (200, "")
        assert charges(dave) == []

    @pytest.mark.parametrize("method", ["HEAD", "head", "Get"])
    def test_head_is_charged_like_get_and_spelling_does_not_matter(self, bob: Customer, method: str) -> None:
        Route.objects.create(path="/only-get", method="GET", feature=Feature.objects.create(code="get", tokens=3))
        assert ask(bob.api, "/only-get", method)["X-Usage-Cost"] == "3"

    @pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
    def test_a_method_that_the_product_may_believe_counts_too(self, bob: Customer, name: str) -> None:
        Route.objects.create(path="/only-put", method="PUT", feature=Feature.objects.create(code="put", tokens=3))
        assert ask(bob.api, "/only-put", "POST", **{name: "put"})["X-Usage-Cost"] == "3"
        assert ask(bob.api, "/only-put", "PUT", **{name: "OPTIONS"})["X-Usage-Cost"] == "3"
        assert ask(bob.api, START, "OPTIONS", **{name: "POST"})["X-Usage-Cost"] == "10"

    def test_a_path_that_is_charged_differently_by_its_readers_is_refused(self, bob: Customer) -> None:
        for path, tokens in (("/cheap", 1), ("/dear", 9)):
            Route.objects.create(path=path, feature=Feature.objects.create(code=path[1:], tokens=tokens))
        response = ask(bob.api, "/cheap/../dear")
        assert code(response) == (400, "invalid") and "X-Original-URI" in response.json()["errors"]
        assert response["X-Usage-Cost"] == "0" and used(bob) == 0
        assert ask(bob.api, "/plain/../dear")["X-Usage-Cost"] == "9"
        assert ask(bob.api, "/dear/../plain")["X-Usage-Cost"] == "9"
