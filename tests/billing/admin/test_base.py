"""What all pages of the admin share: the rows that stand on a page of another are seen by whoever sees the page."""

from __future__ import annotations

import pytest

from billing.models import Feature, Invoice, Route, Subscription
from tests.cast import Customer, Staff

pytestmark = pytest.mark.django_db


def shown(staff: Staff, page: str) -> str:
    answer = staff.open(page)
    assert answer.status_code == 200
    return str(answer.content.decode()).replace("\N{NO-BREAK SPACE}", " ")


def test_who_may_view_an_invoice_sees_its_lines(clerk: Staff, bob: Customer) -> None:
    invoice = Invoice.objects.get(account=bob.account)
    text = shown(clerk.may("billing.view_invoice"), f"billing/invoice/{invoice.pk}/change/")
    assert invoice.lines.get().description in text


def test_who_may_view_a_subscription_sees_its_periods_and_invoices(clerk: Staff, bob: Customer) -> None:
    subscription, invoice = Subscription.objects.get(), Invoice.objects.get()
    text = shown(clerk.may("billing.view_subscription"), f"billing/subscription/{subscription.pk}/change/")
    assert str(invoice) in text and "price of the whole period" in text.lower()
    assert clerk.open(f"billing/invoice/{invoice.pk}/change/").status_code == 403, "a page of its own"


def test_who_may_view_a_feature_sees_its_routes_and_writes_none(clerk: Staff, catalogue: None) -> None:
    feature = Feature.objects.get(code="risk_score")
    page = f"billing/feature/{feature.pk}/change/"
    assert "/api/v1/risk/score" in shown(clerk.may("billing.view_feature"), page)
    clerk.user.user_permissions.clear()
    fresh = Staff(type(clerk.user).objects.get(pk=clerk.user.pk)).may("billing.change_feature")
    text = shown(fresh, page)
    assert "/api/v1/risk/score" in text and 'name="routes-0-path"' not in text
    routes = {"routes-TOTAL_FORMS": 1, "routes-INITIAL_FORMS": 1, "routes-0-id": feature.routes.get().pk}
    routes |= {"routes-0-path": "/stolen", "routes-0-method": "", "routes-0-feature": feature.pk}
    fresh.send(page, name="Risk", tokens=9, capability="", **routes)
    assert not Route.objects.filter(path="/stolen").exists()


def test_who_may_view_lines_alone_sees_no_invoice(clerk: Staff, bob: Customer) -> None:
    clerk.may("billing.view_invoiceline", "billing.view_route", "billing.view_billingperiod")
    for page in (f"invoice/{Invoice.objects.get().pk}", f"subscription/{Subscription.objects.get().pk}"):
        assert clerk.open(f"billing/{page}/change/").status_code == 403
