"""Admin pages of invoices: for reading, as documents are kept as they are."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest

from billing.admin.base import ReadOnly, TabularInline, once
from billing.admin.invoicing.document_files import DocumentFile
from billing.admin.invoicing.documents import STATUS_COLOURS, amount_of, party_of
from billing.admin.invoicing.invoice_actions import InvoiceActions
from billing.admin.lists.filters import Currencies
from billing.admin.lists.ranges import Days
from billing.admin.lists.searching import SHOWN
from billing.admin.payments.card_refunds import CardRefundAction
from billing.documents import issued
from billing.documents.document import Document
from billing.models import BalanceEntry, CreditNote, Invoice, InvoiceLine, InvoiceTax, Payment


class DocumentInline(ReadOnly, TabularInline[Any, Any]):
    extra = 0
    hide_title = True
    readonly_fields = ["amount_shown"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("invoice")

    @admin.display(description="amount")
    def amount_shown(self, row: Any) -> str:
        return amount_of(row.amount, getattr(row, "currency", "") or row.invoice.currency)


class InvoiceLineInline(DocumentInline):
    model = InvoiceLine
    fields = ["position", "description", "kind", "period_start", "period_end", "amount_shown"]


class InvoiceTaxInline(DocumentInline):
    model = InvoiceTax
    fields = ["name", "percent_shown", "category", "country", "included", "net_shown", "tax_shown"]
    readonly_fields = ["percent_shown", "net_shown", "tax_shown"]
    verbose_name_plural = "taxes"

    @admin.display(description="percent")
    def percent_shown(self, row: InvoiceTax) -> str:
        return f"{row.percent.normalize():f} %"

    @admin.display(description="net")
    def net_shown(self, row: InvoiceTax) -> str:
        return amount_of(row.net, row.invoice.currency)

    @admin.display(description="tax")
    def tax_shown(self, row: InvoiceTax) -> str:
        return amount_of(row.tax, row.invoice.currency)


class PaymentInline(DocumentInline):
    model = Payment
    verbose_name_plural = "payments: what it got of money that came in; below zero, what was taken back"
    fields = ["paid_at", "reference", "money_in", "amount_shown"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Payment]:
        return super().get_queryset(request).select_related("money_in")


class CreditNoteInline(DocumentInline):
    model = CreditNote
    fields = ["number", "issued_at", "reason", "amount_shown"]


class BalanceEntryInline(DocumentInline):
    model = BalanceEntry
    verbose_name_plural = "balance: owed to the customer above zero, used by this invoice below"
    fields = ["created_at", "amount_shown"]


@admin.register(Invoice)
class InvoiceAdmin(ReadOnly, CardRefundAction, InvoiceActions, DocumentFile[Invoice]):
    """Written by billing.invoicing.issuing alone."""

    list_display = ["number", "account", "status_shown", "total_shown", "due_shown", "issued_at"]
    list_display_links = ["number"]
    list_filter = ["status", Currencies, ("issued_at", Days)]
    sortable_by = ["number", "issued_at"]
    search_fields = ["number"]
    search_help_text = f"Number. {SHOWN}"
    by_account = "account"
    summed = ("total", "settled")
    exported = ("currency", "net", "tax", "total", "settled", "due")
    inlines = [InvoiceLineInline, InvoiceTaxInline, PaymentInline, CreditNoteInline, BalanceEntryInline]
    fieldsets = [
        (None, {"fields": [("number", "account", "subscription"), ("status_plain", "issued_at", "voided_at")]}),
        (
            "Amounts",
            {
                "fields": [
                    ("net_shown", "tax_shown", "total_shown"),
                    ("settled_shown", "due_shown", "due_at"),
                    "creditable_shown",
                ]
            },
        ),
        ("Parties, as they were at the issue", {"fields": [("seller_shown", "buyer_shown"), "reverse_charge"]}),
    ]
    readonly_fields = [
        *("status_plain", "net_shown", "tax_shown", "total_shown", "settled_shown", "due_shown", "creditable_shown"),
        *("seller_shown", "buyer_shown"),
    ]
    actions_detail = ["pdf", *InvoiceActions.actions_detail, "refund"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invoice]:
        return super().get_queryset(request).select_related("account", "subscription__account", "subscription__plan")

    def sensible_actions(self, row: Invoice) -> set[str]:
        refund = {"refund"} if self.can_refund(row) else set()
        return super().sensible_actions(row) | ({"pdf"} if row.number else set()) | refund

    def document_of(self, row: Invoice) -> Document:
        return issued.of_invoice(row)

    def get_inlines(self, request: HttpRequest, obj: Invoice | None) -> list[Any]:
        """The lines, and what there is beside them."""
        beside = self.inlines[1:]
        of_it = [Exists(inline.model.objects.filter(invoice=OuterRef("pk"))) for inline in beside]
        there = Invoice.objects.filter(pk=obj.pk if obj else 0).values_list(*of_it).first() or ()
        return [InvoiceLineInline, *(inline for inline, is_there in zip(beside, there, strict=False) if is_there)]

    @admin.display(description="status", ordering="status")
    def status_shown(self, row: Invoice) -> str:
        return str(row.get_status_display())

    status_shown.label = STATUS_COLOURS  # type: ignore[attr-defined]

    @admin.display(description="status")
    def status_plain(self, row: Invoice) -> str:
        return str(row.get_status_display())

    @admin.display(description="net")
    def net_shown(self, row: Invoice) -> str:
        return amount_of(row.net, row.currency)

    @admin.display(description="tax")
    def tax_shown(self, row: Invoice) -> str:
        return amount_of(row.tax, row.currency)

    @admin.display(description="seller")
    def seller_shown(self, row: Invoice) -> str:
        return party_of(row.seller)

    @admin.display(description="buyer")
    def buyer_shown(self, row: Invoice) -> str:
        return party_of(row.buyer)

    @admin.display(description="total", ordering="total")
    def total_shown(self, row: Invoice) -> str:
        return amount_of(row.total, row.currency)

    @admin.display(description="settled by payments, credit notes and balance")
    def settled_shown(self, row: Invoice) -> str:
        return amount_of(row.settled, row.currency)

    @admin.display(description="due")
    def due_shown(self, row: Invoice) -> str:
        return amount_of(row.due, row.currency)

    @admin.display(description="can be credited")
    def creditable_shown(self, row: Invoice) -> str:
        return amount_of(once(row, "creditable", row.creditable), row.currency)
