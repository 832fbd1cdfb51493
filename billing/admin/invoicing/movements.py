"""Admin pages of what moved a customer's account: credit notes, payments and the balance; for reading."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from billing.admin.base import ModelAdmin, ReadOnly
from billing.admin.invoicing.document_files import DocumentFile
from billing.admin.invoicing.documents import amount_of
from billing.admin.lists.filters import Currencies
from billing.admin.lists.ranges import Days
from billing.admin.lists.searching import SHOWN
from billing.documents import issued
from billing.documents.document import Document
from billing.models import BalanceEntry, CreditNote, Payment
from billing.users import name_field


class MovementAdmin(ReadOnly, ModelAdmin[Any]):
    """What moved a customer's account; written with the invoice it belongs to."""

    readonly_fields = ["amount_shown"]
    summed = ("amount",)

    @admin.display(description="amount", ordering="amount")
    def amount_shown(self, row: Any) -> str:
        return amount_of(row.amount, getattr(row, "currency", "") or row.invoice.currency)


@admin.register(CreditNote)
class CreditNoteAdmin(MovementAdmin, DocumentFile[CreditNote]):
    actions_detail = ["pdf"]
    list_display = ["number", "account", "invoice", "amount_shown", "reason", "issued_at"]
    list_select_related = ["account", "invoice"]
    sortable_by = ["number", "issued_at"]
    search_fields = ["number", "invoice__number"]
    search_help_text = f"Number, invoice. {SHOWN}"
    by_account = "account"
    exported = ("currency", "net", "tax", "amount")
    list_filter = [Currencies, ("issued_at", Days)]
    fieldsets = [
        (None, {"fields": [("number", "account", "issued_at"), "invoice", "reason"]}),
        ("Amounts", {"fields": [("net_shown", "tax_shown", "amount_shown")]}),
    ]
    readonly_fields = ["amount_shown", "net_shown", "tax_shown"]

    @admin.display(description="net")
    def net_shown(self, row: CreditNote) -> str:
        return amount_of(row.net, row.currency)

    @admin.display(description="tax")
    def tax_shown(self, row: CreditNote) -> str:
        return amount_of(row.tax, row.currency)

    def sensible_actions(self, row: CreditNote) -> set[str]:
        return {"pdf"}

    def document_of(self, row: CreditNote) -> Document:
        return issued.of_credit_note(row)


@admin.register(Payment)
class PaymentAdmin(MovementAdmin):
    list_display = ["reference", "account", "invoice", "amount_shown", "source", "paid_at"]
    list_select_related = ["invoice__account", "money_in"]
    sortable_by = ["reference", "paid_at"]
    search_fields = ["reference", "invoice__number"]
    search_help_text = f"Reference, invoice. {SHOWN}"
    by_account = "invoice__account"
    currency_path = "invoice__currency"
    exported = ("invoice__currency", "amount")
    list_filter = [("paid_at", Days)]
    ordering = ["-paid_at", "-pk"]
    fieldsets = [(None, {"fields": [("reference", "paid_at", "amount_shown"), ("invoice", "money_in", "reversal")]})]

    @admin.display(ordering=f"invoice__account__{name_field()}")
    def account(self, row: Payment) -> str:
        return str(row.invoice.account)

    @admin.display(description="source")
    def source(self, row: Payment) -> str:
        return row.money_in.source


@admin.register(BalanceEntry)
class BalanceEntryAdmin(MovementAdmin):
    list_display = ["account", "amount_shown", "kind_shown", "invoice", "credit_note", "created_at"]
    list_display_links = ["account"]
    list_select_related = ["account", "invoice", "credit_note", "money_in", "reversal__money_in", "refund__account"]
    sortable_by = ["created_at"]
    search_fields = ["invoice__number", "credit_note__number"]
    search_help_text = f"Invoice, credit note. {SHOWN}"
    by_account = "account"
    exported = ("currency", "amount")
    list_filter = [Currencies, ("created_at", Days)]
    ordering = ["-created_at", "-pk"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("account", "created_at", "amount_shown"),
                    ("kind_shown", "invoice", "credit_note"),
                    ("money_in", "reversal", "refund"),
                ]
            },
        ),
    ]
    readonly_fields = ["amount_shown", "kind_shown"]

    @admin.display(description="what")
    def kind_shown(self, row: BalanceEntry) -> str:
        return str(row.kind.label)
