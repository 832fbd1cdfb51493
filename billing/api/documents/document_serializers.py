"""Invoices and credit notes as JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.reverse import reverse

from billing.documents.issued import has_document
from billing.http.fields import MoneyField
from billing.models import CreditNote, Invoice, InvoiceLine, Payment
from billing.rules.money import in_currency

TAXED = {"category": "S", "percent": 19, "country": "DE", "name": "VAT", "net": 10.00, "tax": 1.90}
NOTED = {
    "number": "CN-000007",
    "invoice": "INV-000042",
    "issued_at": "2025-10-20T08:00:00Z",
    "amount": 5.95,
    "net": 5.00,
    "tax": 0.95,
    "currency": "USD",
    "reason": "Outage",
    "taxes": [{"category": "S", "percent": 19, "country": "DE", "name": "VAT", "net": 5.00, "tax": 0.95}],
    "pdf": "https://example.com/api/v1/billing/credit-notes/CN-000007/pdf",
}
SOLD_BY = {
    "name": "Metered GmbH",
    "address": "Hauptstraße 1",
    "city": "Berlin",
    "postcode": "10115",
    "country": "DE",
    "vat_id": "DE136695976",
    "email": "billing@example.com",
}
INVOICED = {
    "number": "INV-000042",
    "issued_at": "2025-10-16T09:30:00Z",
    "due_at": "2025-10-30T09:30:00Z",
    "status": "open",
    "currency": "USD",
    "lines": [
        {
            "kind": kind,
            "description": description,
            "amount": amount,
            "period_start": "2025-10-16T09:30:00Z",
            "period_end": "2025-10-31T00:00:00Z",
        }
        for kind, description, amount in (
            ("credit", "Unused time on Starter", -14.50),
            ("charge", "Remaining time on Pro", 24.50),
            ("tax", "VAT 19 %", 1.90),
        )
    ],
    "net": 10.00,
    "tax": 1.90,
    "gross": 11.90,
    "total": 11.90,
    "amount_due": 5.95,
    "taxes": [TAXED],
    "reverse_charge": False,
    "seller": SOLD_BY,
    "buyer": SOLD_BY | {"name": "Bob Ltd", "email": "bob@example.com"},
    "payments": [],
    "credit_notes": [{name: NOTED[name] for name in ("number", "issued_at", "amount", "reason")}],
    "pdf": "https://example.com/api/v1/billing/invoices/INV-000042/pdf",
}
PDF_HELP = "Where its PDF is; null where there is none: of a void invoice, and of what was issued without a seller."
ISSUED = [str(status) for status in Invoice.Status if status is not Invoice.Status.DRAFT]


@extend_schema_field(MoneyField)
class AmountField(serializers.Field[Any, Any, Any, Any]):
    """An amount of a row, written with the decimals of its document's currency."""

    def __init__(self, currency: str = "currency", **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)
        self._currency = currency.split(".")

    def get_attribute(self, instance: Any) -> Any:
        currency = instance
        for name in self._currency:
            currency = getattr(currency, name)
        amount: Any = super().get_attribute(instance)
        return in_currency(amount, currency)

    def to_representation(self, value: Decimal) -> Decimal:
        return value


@extend_schema_field({"type": ["string", "null"], "format": "uri"})
class PdfField(serializers.Field[Any, Any, Any, Any]):
    """See PDF_HELP. The serializer's context needs the request."""

    def __init__(self, url: str, **kwargs: Any) -> None:
        super().__init__(read_only=True, source="*", **kwargs)
        self._url = url

    def to_representation(self, value: Invoice | CreditNote) -> str | None:
        there_is = has_document(value) if isinstance(value, Invoice) else value.invoice.seller is not None
        return reverse(self._url, args=[value.number], request=self.context.get("request")) if there_is else None


class PartySerializer(serializers.Serializer[Any]):
    """As the document keeps it: later edits do not reach it."""

    name = serializers.CharField()
    address = serializers.CharField(help_text="May have several lines.")
    city = serializers.CharField()
    postcode = serializers.CharField()
    country = serializers.CharField(help_text="ISO 3166-1 alpha-2.")
    vat_id = serializers.CharField()
    email = serializers.CharField()


class _TaxSerializer(serializers.Serializer[Any]):
    category = serializers.CharField(help_text="As EN 16931 has it: S, Z, AE (reverse charge) or O (no tax).")
    percent = serializers.FloatField()
    country = serializers.CharField(help_text='Where the tax is due; "" where none is.')
    name = serializers.CharField(help_text="Such as VAT.")


class InvoiceTaxSerializer(_TaxSerializer):
    net = AmountField("invoice.currency")
    tax = AmountField("invoice.currency")


class CreditNoteTaxSerializer(_TaxSerializer):
    net = AmountField("credit_note.currency")
    tax = AmountField("credit_note.currency")


class InvoiceLineSerializer(serializers.ModelSerializer[InvoiceLine]):
    amount = AmountField("invoice.currency")
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField()

    class Meta:
        model = InvoiceLine
        fields = ("kind", "description", "amount", "period_start", "period_end")
        read_only_fields = fields


class PaymentSerializer(serializers.ModelSerializer[Payment]):
    amount = AmountField("invoice.currency", help_text="Below zero: taken back.")
    paid_at = serializers.DateTimeField()

    class Meta:
        model = Payment
        fields = ("amount", "paid_at", "reference")
        read_only_fields = fields


class NoteOfInvoiceSerializer(serializers.ModelSerializer[CreditNote]):
    amount = AmountField()
    issued_at = serializers.DateTimeField()

    class Meta:
        model = CreditNote
        fields = ("number", "issued_at", "amount", "reason")
        read_only_fields = fields


@extend_schema_serializer(examples=[OpenApiExample("Of an upgrade", INVOICED)])
class InvoiceSerializer(serializers.ModelSerializer[Invoice]):
    """Of one invoice with all that belongs to it, which is read in a query each for all invoices."""

    number = serializers.CharField()
    issued_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(help_text="Until when it is to be paid.")
    status = serializers.ChoiceField(ISSUED)
    lines = InvoiceLineSerializer(many=True)
    net = AmountField(help_text="What is billed, without tax.")
    tax = AmountField()
    gross = AmountField(help_text="What is billed, with tax.")
    total = AmountField(help_text="The sum of the lines: gross, less the balance that was used.")
    amount_due = AmountField(source="due", help_text="Total, less payments and credits so far.")
    taxes = InvoiceTaxSerializer(many=True, help_text="By rate. Empty where no tax was known of at the issue.")
    reverse_charge = serializers.BooleanField(help_text="You owe the tax of a line.")
    seller = PartySerializer(allow_null=True)
    buyer = PartySerializer(allow_null=True)
    payments = PaymentSerializer(many=True)
    credit_notes = NoteOfInvoiceSerializer(many=True)
    pdf = PdfField("billing-invoice-pdf", help_text=PDF_HELP)

    class Meta:
        model = Invoice
        fields = (
            *("number", "issued_at", "due_at", "status", "currency", "lines"),
            *("net", "tax", "gross", "total", "amount_due", "taxes", "reverse_charge"),
            *("seller", "buyer", "payments", "credit_notes", "pdf"),
        )
        read_only_fields = fields


@extend_schema_serializer(examples=[OpenApiExample("For an outage", NOTED)])
class CreditNoteSerializer(serializers.ModelSerializer[CreditNote]):
    invoice = serializers.CharField(
        source="invoice.number", help_text="The number of the invoice that it is taken off."
    )
    issued_at = serializers.DateTimeField()
    amount = AmountField(help_text="With tax.")
    net = AmountField()
    tax = AmountField()
    taxes = CreditNoteTaxSerializer(many=True, help_text="By rate, as on the invoice.")
    pdf = PdfField("billing-credit-note-pdf", help_text=PDF_HELP)

    class Meta:
        model = CreditNote
        fields = ("number", "invoice", "issued_at", "amount", "net", "tax", "currency", "reason", "taxes", "pdf")
        read_only_fields = fields
