"""A customer's subscription as JSON."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from billing.http.fields import MoneyField, TimeField
from billing.http.overage import PricedOverageSerializer
from billing.models import Subscription

SUBSCRIBED = {
    "plan": "pro",
    "status": "active",
    "current_period_start": "2025-10-01T00:00:00Z",
    "current_period_end": "2025-10-31T00:00:00Z",
    "period_price": 49.00,
    "currency": "USD",
    "scheduled_plan": "starter",
    "scheduled_plan_date": "2025-10-31",
    "next_invoice_amount": 29.00,
    "balance": 0.00,
    "cancel_at": None,
    "trial_ends_at": None,
    "discount": None,
    "coupon": None,
    "past_due_since": None,
    "overage": None,
}


@extend_schema_serializer(examples=[OpenApiExample("On pro, with a downgrade scheduled", SUBSCRIBED)])
class SubscriptionResponse(serializers.Serializer[Any]):
    plan = serializers.CharField(help_text="The plan in force now.")
    status = serializers.ChoiceField([str(status) for status in Subscription.Status])
    current_period_start = TimeField()
    current_period_end = TimeField(help_text="The first instant after.")
    period_price = MoneyField(help_text="The plan's full price for this period, as fixed when it began on the plan.")
    currency = serializers.CharField()
    scheduled_plan = serializers.CharField(allow_null=True)
    scheduled_plan_date = serializers.DateField(allow_null=True, help_text="In UTC.")
    next_invoice_amount = MoneyField(
        help_text="At present prices with tax, the discount of a coupon taken off, the balance used. Overage has an "
        "invoice of its own, which uses the balance first."
    )
    balance = MoneyField(help_text="Owed to you, and used by the next invoices. Below 0 you owe it, and they bill it.")
    cancel_at = TimeField(
        allow_null=True,
        help_text="The subscription ends here instead of being renewed: canceled, or a trial without the payment method"
        " that it needs.",
    )
    trial_ends_at = TimeField(
        allow_null=True, help_text="The present period is a free trial and ends here. Null: it is none."
    )
    discount = MoneyField(allow_null=True, help_text="What a coupon takes off `period_price`. Null: none does.")
    coupon = serializers.CharField(
        allow_null=True, help_text="The code of that coupon. `GET /billing/coupon` has the one of your next periods."
    )
    past_due_since = TimeField(
        allow_null=True,
        help_text="Since when an invoice is past due: nothing more is tried by itself, and after a grace the default "
        "plan is served until all of them are paid. Null: none is.",
    )
    overage = PricedOverageSerializer(
        allow_null=True, help_text="Tokens above the quota; usage may lag 2 s. Null: your plan sells none."
    )
