"""What was paid for an invoice, and the balance."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.response import Response

from billing.api.payments.money_serializers import BalanceEntrySerializer, InvoicePaymentSerializer
from billing.http.pagination import NewestFirst
from billing.http.views import OwnList
from billing.invoicing import ledger
from billing.models import BalanceEntry, Invoice, Payment
from billing.rules.money import in_currency


class PaymentPages(NewestFirst):
    ordering = ("-paid_at", "-pk")


class BalancePages(NewestFirst):
    """With the balance itself beside its movements."""

    ordering = ("-created_at", "-pk")
    balances: list[dict[str, Any]]

    def get_paginated_response(self, data: Any) -> Response:
        page = super().get_paginated_response(data)
        page.data["balances"] = self.balances
        return page

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        page = super().get_paginated_response_schema(schema)
        amounts = {"currency": {"type": "string"}, "amount": {"type": "number"}}
        each = {"type": "object", "required": list(amounts), "properties": amounts}
        page["properties"]["balances"] = {
            "type": "array",
            "items": each,
            "description": "What is owed to you, by currency; the next invoices use it. Below zero you owe it.",
            "example": [{"currency": "USD", "amount": 5.95}],
        }
        page["required"].append("balances")
        return page


@extend_schema_view(
    get=extend_schema(
        "listInvoicePayments",
        parameters=[OpenApiParameter("number", str, OpenApiParameter.PATH, description="Such as `INV-000042`.")],
    )
)
class InvoicePayments(OwnList):
    """What was paid for one of your invoices, and taken back."""

    model = Payment
    serializer_class = InvoicePaymentSerializer
    pagination_class = PaymentPages

    def rows_of(self, account: int) -> QuerySet[Payment]:
        invoice = get_object_or_404(Invoice.objects.issued(), account=account, number=self.kwargs["number"])
        return Payment.objects.filter(invoice=invoice).select_related("invoice", "money_in", "reversal")


@extend_schema_view(get=extend_schema("getBalance"))
class Balance(OwnList):
    """What is owed to you, by currency, and what moved it."""

    model = BalanceEntry
    serializer_class = BalanceEntrySerializer
    pagination_class = BalancePages

    def rows_of(self, account: int) -> QuerySet[BalanceEntry]:
        self.paginator.balances = [  # type: ignore[union-attr]
            {"currency": currency, "amount": in_currency(amount, currency)}
            for (_, currency), amount in sorted(ledger.balances([account]).items())
        ]
        return BalanceEntry.objects.filter(account=account).with_reasons()
