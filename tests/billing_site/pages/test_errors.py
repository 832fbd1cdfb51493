"""403, 404 and 500 in the dress of the place where they happen; the last without a database."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from billing_site import urls
from billing_site.pages import errors as error_pages
from tests.cast import Customer, Staff

pytestmark = pytest.mark.django_db


def test_staff_see_the_admins_dress(superuser: Staff, clerk: Staff) -> None:
    missing = superuser.open("nothing-here")
    assert missing.status_code == 404
    assert "There is nothing here" in missing.content.decode() and "nav-sidebar" in missing.content.decode()
    refused = clerk.open("billing/invoice/")
    assert refused.status_code == 403
    assert "You may not see this" in refused.content.decode() and "nav-sidebar" in refused.content.decode()
    assert superuser.open("billing/plan/nothing/history/").status_code == 404


def test_customers_see_theirs_in_their_language(alice: Customer) -> None:
    browser = Client()
    browser.force_login(alice.user)
    for path in ("/nothing-here", "/dashboard/nothing-here", "/accounts/nothing-here"):
        response = browser.get(path)
        assert response.status_code == 404 and b"site.css" in response.content and b"<main" in response.content


def test_a_customer_learns_nothing_of_the_admin(alice: Customer) -> None:
    browser = Client()
    browser.force_login(alice.user)
    request = RequestFactory().get("/admin/x")
    request.user = alice.user
    response = urls.handler403(request, PermissionDenied())
    assert b"nav-sidebar" not in response.content and response.status_code == 403


@pytest.mark.parametrize("page", ["", "billing/invoice/", "nothing-here", "login/?next=/admin/"])
def test_a_customer_who_opens_the_admin_is_told_and_not_sent_round(alice: Customer, page: str) -> None:
    browser = Client()
    browser.force_login(alice.user)
    response = browser.get(f"/admin/{page}", follow=True)
    assert response.status_code == 403 and b"You may not see this" in response.content
    assert Client().get("/admin/").status_code == 302, "whoever is not logged in is asked to"


@pytest.mark.parametrize("path", ["/admin/x", "/dashboard/", "/"])
def test_a_failure_asks_no_database(superuser: Staff, path: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        response = urls.handler500(RequestFactory().get(path))
    assert response.status_code == 500 and not queries
    assert b"Something went wrong" in response.content
    assert (b"unfold/css" in response.content) == path.startswith("/admin")


def test_the_api_answers_with_problems() -> None:
    response = urls.handler500(RequestFactory().get("/api/v1/plans"))
    assert response["Content-Type"].startswith("application/problem+json")


def test_a_form_without_its_token(superuser: Staff) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(superuser.user)
    for path in ("/admin/billing/plan/add/", "/accounts/language/"):
        response = browser.post(path)
        assert response.status_code == 403 and str(error_pages.NOT_SENT) in response.content.decode()
