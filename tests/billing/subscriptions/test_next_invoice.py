"""next_invoice.py: what is said before a change is what is billed by it, and after it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from billing.invoicing import credit_notes, ledger
from billing.models import CouponRedemption, Invoice, Plan
from billing.subscriptions import changes, next_invoice
from billing.subscriptions.coupons import redeeming
from billing.subscriptions.current import current_subscription
from billing.subscriptions.previews import calculate_proration
from tests.billing.ledger import pay_in_full
from tests.cast import Customer
from tests.factories import make_coupon, make_rate, make_seller

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("terms", ["plain", "taxed", "balance", "coupon", "last of a coupon", "trial", "full period"])
def test_it_comes_as_it_was_told(bob: Customer, alice: Customer, terms: str) -> None:
    customer = alice if terms == "trial" else bob
    now, pro = timezone.now(), Plan.objects.get(code="pro")
    if terms == "taxed":
        make_seller()
        make_rate("DE", 19)
    if terms == "balance":
        paid = Invoice.objects.get(account=bob.account)
        pay_in_full(paid, now)
        credit_notes.credit(paid, Decimal(25), "an outage", now)
    if "coupon" in terms:
        make_coupon("SPRING", percent=50, periods=1 if "last" in terms else None)
        redeeming.redeem(bob.account, "SPRING", now)
    if terms == "trial":
        pro.trial_days = 14
        pro.save()
    if terms == "full period":
        pro.upgrade_mode = "full_period"
        pro.save()
    at = timezone.now() + timedelta(seconds=1)
    quote = calculate_proration(customer.account, pro, at)
    told = next_invoice.settled(quote)
    then = next_invoice.after(quote, told.balance_left)
    changed = changes.upgrade(customer.account, pro, at, at, quote.digest())
    current = current_subscription(customer.account, at)
    assert (then.at, then.amount) == (current.period.ends_at, current.next_invoice_amount)
    assert told.to_pay == (changed.invoice.due if changed.invoice else 0)
    assert told.balance_left == ledger.balance(customer.account, "USD")


@pytest.mark.parametrize("owed", [True, False])
def test_a_credit_pays_what_is_due_before_it_becomes_balance(bob: Customer, owed: bool) -> None:
    now, pro = timezone.now(), Plan.objects.get(code="pro")
    first = Invoice.objects.get(account=bob.account)
    if not owed:
        pay_in_full(first, now)
    make_coupon("FREE", percent=100)
    redeeming.redeem(bob.account, "FREE", now)
    assert CouponRedemption.objects.exists()
    at = timezone.now() + timedelta(seconds=1)
    quote = calculate_proration(bob.account, pro, at)
    told = next_invoice.settled(quote)
    changes.upgrade(bob.account, pro, at, at, quote.digest())
    first.refresh_from_db()
    assert (told.lowers_due > 0, told.to_balance > 0) == (owed, not owed)
    assert told.to_balance == ledger.balance(bob.account, "USD")
    assert told.lowers_due == (29 - first.due if owed else 0)
