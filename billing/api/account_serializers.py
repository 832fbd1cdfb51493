"""A customer's subscription and invoices as JSON."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from billing.http.fields import MoneyField, TimeField
from billing.http.overage import PricedOverageSerializer
from billing.models import Invoice, InvoiceLine, Subscription
from billing.rules.money import in_currency

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
    "overage": None,
}
INVOICED = {
    "number": "INV-000042",
    "issued_at": "2025-10-16T09:30:00Z",
    "status": "open",
    "currency": "USD",
    "lines": [
        {
            "description": "Unused time on Starter",
            "amount": -14.50,
            "period_start": "2025-10-16T09:30:00Z",
            "period_end": "2025-10-31T00:00:00Z",
        },
        {
            "description": "Remaining time on Pro",
            "amount": 24.50,
            "period_start": "2025-10-16T09:30:00Z",
            "period_end": "2025-10-31T00:00:00Z",
        },
    ],
    "total": 10.00,
}
ISSUED = [str(status) for status in Invoice.Status if status is not Invoice.Status.DRAFT]


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
        help_text="At present prices, the discount of a coupon taken off, the balance used. Overage has its own "
        "invoice, which uses the balance first."
    )
    balance = MoneyField(help_text="Owed to you; the next invoices use it.")
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
    overage = PricedOverageSerializer(
        allow_null=True, help_text="Tokens above the quota; usage may lag 2 s. Null: your plan sells none."
    )


class InvoiceLineSerializer(serializers.ModelSerializer[InvoiceLine]):
    amount = serializers.SerializerMethodField()
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField()

    class Meta:
        model = InvoiceLine
        fields = ("description", "amount", "period_start", "period_end")
        read_only_fields = fields

    def get_amount(self, line: InvoiceLine) -> MoneyField:
        amount: Any = in_currency(line.amount, line.invoice.currency)
        return amount  # type: ignore[no-any-return]


@extend_schema_serializer(examples=[OpenApiExample("Of an upgrade", INVOICED)])
class InvoiceSerializer(serializers.ModelSerializer[Invoice]):
    """Of one invoice with its lines; they are read in one query for all."""

    number = serializers.CharField()
    issued_at = serializers.DateTimeField()
    status = serializers.ChoiceField(ISSUED)
    lines = InvoiceLineSerializer(many=True)
    total = serializers.SerializerMethodField()

    class Meta:
        model = Invoice
        fields = ("number", "issued_at", "status", "currency", "lines", "total")
        read_only_fields = fields

    def get_total(self, invoice: Invoice) -> MoneyField:
        amount: Any = in_currency(invoice.total, invoice.currency)
        return amount  # type: ignore[no-any-return]
