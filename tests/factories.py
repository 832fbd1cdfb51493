"""What tests are made of: plans at a price, customers since an instant, instants and amounts as text."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model

from billing.models import BillingDetails, Coupon, Plan, Seller, Subscription, TaxRate
from billing.subscriptions import opening

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_serial = itertools.count(1)


def at(text: str) -> datetime:
    """An instant in UTC: `2025-10-16` or `2025-10-16 23:59:59`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def money(amount: Any) -> Decimal:
    return Decimal(str(amount))


def make_plan(code: str, price: Any, rank: int = 0, **fields: Any) -> Plan:
    plan = Plan(code=code, name=code.title(), price=money(price), rank=rank, priced_at=LONG_AGO, **fields)
    plan.save()
    return plan


def make_coupon(code: str = "SPRING", **terms: Any) -> Coupon:
    """Half the price of all periods, unless `terms` say otherwise; `plans` may be among them."""
    plans = terms.pop("plans", ())
    coupon = Coupon(code=code, name=code.title(), **({} if "amount" in terms else {"percent": money(50)}) | terms)
    coupon.save()
    coupon.plans.set(plans)
    return coupon


def make_subscription(plan: Plan, since: datetime, name: str = "") -> Subscription:
    user = get_user_model().objects.create_user(name or f"customer{next(_serial)}")
    return opening.subscribe(user.pk, plan, since)


def make_seller(country: str = "DE", vat_id: str = "DE136695976", **fields: Any) -> Seller:
    return Seller.objects.create(name="Metered", country=country, vat_id=vat_id, **fields)


def make_rate(country: str, percent: Any, since: datetime = LONG_AGO, name: str = "VAT") -> TaxRate:
    return TaxRate.objects.create(country=country, percent=money(percent), valid_from=since, name=name)


def make_details(account: int, country: str, vat_id: str = "") -> BillingDetails:
    """How invoices name an account from now on; what it gave before is replaced."""
    given = {"name": "Buyer", "country": country, "vat_id": vat_id}
    return BillingDetails.objects.update_or_create(account_id=account, defaults=given)[0]
