"""The first page: whoever comes sees what there is and what it costs, and is led on."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection
from django.test import Client

from billing.models import Plan
from tests.billing_site.dashboard.conftest import text
from tests.cast import Customer
from tests.factories import make_seller

pytestmark = pytest.mark.django_db


def test_prices_are_seen_before_a_sign_up(catalogue: None) -> None:
    Plan.objects.filter(code="pro").update(trial_days=14)
    page = text(Client().get("/").text)
    assert "Starter $29.00 a month 500 tokens a month 30 requests a minute Investigator" in page
    assert "14 days free, once" in page and "Tax" not in page
    make_seller()
    assert "Tax is added where it is due." in text(Client().get("/").text)


def test_plans_that_are_not_sold_any_more_are_not_there(catalogue: None) -> None:
    pro = Plan.objects.get(code="pro")
    pro.archived_at = pro.priced_at
    pro.save()
    assert "$49.00" not in Client().get("/").text


def test_without_a_database_it_still_leads_on(catalogue: None) -> None:
    Client().get("/")  # the process knows the catalogue
    with connection.execute_wrapper(_fails):
        page = Client().get("/")
    assert page.status_code == 200 and "Sign up" in page.text


def _fails(*_: object) -> None:
    raise OperationalError("gone")


def test_customers_are_not_led_to_the_admin(alice: Customer) -> None:
    client = Client()
    client.force_login(alice.user)
    page = client.get("/").text
    assert "To the dashboard" in page and 'href="/admin/"' not in page
