"""Payments of an invoice and movements of the balance as JSON."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from billing.api.documents.document_serializers import AmountField
from billing.models import BalanceEntry, Payment
from billing.models.payments.settlements import Movement

PAID = {
    "amount": 29.00,
    "paid_at": "2025-10-20T08:00:00Z",
    "reference": "bank 7",
    "source": "manual",
    "received": 40.00,
    "reason": None,
}
TAKEN_BACK = PAID | {"amount": -29.00, "paid_at": "2025-11-02T08:00:00Z", "reference": "dp_1", "reason": "A chargeback"}
MOVED = {
    "amount": 5.95,
    "currency": "USD",
    "created_at": "2025-10-20T08:00:00Z",
    "kind": "credit_note",
    "invoice": None,
    "credit_note": "CN-000007",
    "reference": None,
}


@extend_schema_serializer(examples=[OpenApiExample("Paid", PAID), OpenApiExample("Taken back", TAKEN_BACK)])
class InvoicePaymentSerializer(serializers.ModelSerializer[Payment]):
    amount = AmountField("invoice.currency", help_text="What the invoice got. Below zero: taken back.")
    paid_at = serializers.DateTimeField(help_text="When the money was received, or taken back.")
    source = serializers.CharField(  # type: ignore[assignment]
        source="money_in.source", help_text="`manual`, or the provider or chain that the money came by."
    )
    received = AmountField(
        "invoice.currency",
        source="money_in.amount",
        help_text="The whole of the money; other invoices and the balance got the rest.",
    )
    reason = serializers.CharField(
        source="reversal.reason", default=None, allow_null=True, help_text="Of what was taken back."
    )

    class Meta:
        model = Payment
        fields = ("amount", "paid_at", "reference", "source", "received", "reason")
        read_only_fields = fields


@extend_schema_serializer(examples=[OpenApiExample("From a credit note", MOVED)])
class BalanceEntrySerializer(serializers.ModelSerializer[BalanceEntry]):
    amount = AmountField(help_text="Above zero: owed to you. Below: used by an invoice, taken back or paid out.")
    created_at = serializers.DateTimeField()
    kind = serializers.ChoiceField(Movement.choices, help_text="What it is.")
    invoice = serializers.CharField(source="invoice.number", default=None, allow_null=True)
    credit_note = serializers.CharField(source="credit_note.number", default=None, allow_null=True)
    reference = serializers.SerializerMethodField(help_text="Of a payment, of its reversal, of what was paid out.")

    class Meta:
        model = BalanceEntry
        fields = ("amount", "currency", "created_at", "kind", "invoice", "credit_note", "reference")
        read_only_fields = fields

    def get_reference(self, row: BalanceEntry) -> str | None:
        return row.reference or None
