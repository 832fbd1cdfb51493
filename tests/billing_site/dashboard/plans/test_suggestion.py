"""The suggestion as a part of the dashboard's pages."""

from __future__ import annotations

import pytest
from django.test import Client

from billing.members.rights import Role
from tests.billing_site.dashboard.members.test_pages import as_member
from tests.cast import Customer
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db
SUGGESTION = "/dashboard/suggestion/"


@pytest.fixture
def page(alice: Customer) -> Client:
    client = Client()
    client.force_login(alice.user)
    return client


def test_strangers_log_in_first() -> None:
    assert Client().get(SUGGESTION)["Location"] == f"/accounts/login/?next={SUGGESTION}"


def test_it_says_why_and_what_it_costs_and_costs_no_request(alice: Customer) -> None:
    with moved_by_hand("2031-03-04T12:00:00Z"):
        page = Client()
        page.force_login(alice.user)
        assert page.get(SUGGESTION).text.strip() == ""
        for _ in range(3):
            assert alice.api.get("/api/v1/trace/start").status_code == 200
        shown = page.get(SUGGESTION)
        assert shown.status_code == 200
        assert "Starter includes 500." in shown.text and " today." in shown.text
        assert 'href="/dashboard/plans/change/starter/"' in shown.text
        assert alice.api.get("/api/v1/usage/current")["X-RateLimit-Remaining"] == "6"


def test_the_overview_has_a_place_for_it(page: Client) -> None:
    assert f'hx-get="{SUGGESTION}"' in page.get("/dashboard/").text


def test_who_may_not_change_the_plan_is_not_led_to_it(alice: Customer) -> None:
    with moved_by_hand("2031-03-04T12:00:00Z"):
        for _ in range(3):
            alice.api.get("/api/v1/trace/start")
        shown = as_member(alice, Role.VIEWER).client.get(SUGGESTION).text
        assert "Starter includes 500." in shown and "href" not in shown
