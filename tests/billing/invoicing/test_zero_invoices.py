"""Invoices of nothing: one rule where a period opens, renews or changes, and where a pack is bought."""

from __future__ import annotations

from typing import Any

import pytest

from billing.entitlements import token_packs
from billing.models import Plan, TokenPack
from billing.subscriptions import changes
from billing.subscriptions.period_end import renewal
from tests.billing.ledger import assert_explained, invoices, lines
from tests.factories import at, make_plan, make_subscription

pytestmark = pytest.mark.django_db
START, MIDDLE, END = at("2025-10-01"), at("2025-10-16 12:00:00"), at("2025-11-01")


@pytest.mark.parametrize(("asked_for", "count"), [(False, 0), (True, 4)])
def test_they_are_issued_where_they_are_asked_for(settings: Any, asked_for: bool, count: int) -> None:
    settings.ISSUE_ZERO_INVOICES = asked_for
    sold = make_subscription(make_plan("free", 0, 0, monthly_token_quota=10), START)
    changes.upgrade(sold.account_id, make_plan("also", 0, 1, monthly_token_quota=20), MIDDLE)
    pack = TokenPack.objects.create(code="gift", name="Gift", tokens=5, price=0)
    bought = token_packs.buy(sold.account_id, pack, MIDDLE)
    assert (bought.invoice is None, bought.purchase.activated_at is not None) == (not asked_for, True)
    renewal.renew_due(END)
    assert [invoice.status for invoice in invoices(sold)] == ["paid"] * count
    assert_explained(sold)


def test_lines_that_cancel_out_are_no_zero_invoice(plan: Plan) -> None:
    sold = make_subscription(plan, START)
    changed = changes.upgrade(sold.account_id, make_plan("better", 100, 9), MIDDLE)
    assert changed.invoice is not None
    assert (changed.invoice.total, len(lines(changed.invoice))) == (0, 2)
