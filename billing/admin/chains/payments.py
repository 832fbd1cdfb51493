"""What was asked for in tokens, and what arrived."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from billing.admin.base import ModelAdmin, ReadOnly, shown_once
from billing.admin.invoicing.documents import amount_of
from billing.admin.lists.ranges import Days
from billing.admin.lists.searching import SHOWN
from billing.models import ChainTransfer, PaymentRequest
from billing.payments.chains import credit, requests

STATES = {"credited": "success", "reversed": "danger", "foreign": "warning"}


@admin.register(PaymentRequest)
class PaymentRequestAdmin(ReadOnly, ModelAdmin[PaymentRequest]):
    """An address is watched for ever, whatever became of the invoice."""

    list_display = ["invoice", "account_shown", "token", "address", "asked", "created_at", "closed_at"]
    list_filter = ["token", ("created_at", Days)]
    sortable_by = ["created_at"]
    search_fields = ["invoice__number", "address__address"]
    search_help_text = f"Number of an invoice, address. {SHOWN}"
    by_account = "invoice__account"
    fields = [
        ("invoice", "token"),
        ("address", "index"),
        "asked",
        ("created_at", "shown_until", "closed_at"),
        ("stands", "credited"),
    ]
    readonly_fields = ["index", "asked", "stands", "credited"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[PaymentRequest]:
        return super().get_queryset(request).select_related("invoice__account", "token__chain", "address__account")

    @admin.display(description="account")
    def account_shown(self, row: PaymentRequest) -> str:
        return str(row.invoice.account)

    @admin.display(description="its index in the wallet")
    def index(self, row: PaymentRequest) -> int:
        return row.address.index

    @admin.display(description="asked for")
    def asked(self, row: PaymentRequest) -> str:
        return f"{row.token.terms.shown(int(row.units))} {row.token.symbol}"

    @admin.display(description="state")
    @shown_once
    def stands(self, row: PaymentRequest) -> str:
        return requests.standing(row).state.replace("_", " ")

    @admin.display(description="credited")
    @shown_once
    def credited(self, row: PaymentRequest) -> str:
        return amount_of(credit.credited(row.address), row.token.currency)


@admin.register(ChainTransfer)
class ChainTransferAdmin(ReadOnly, ModelAdmin[ChainTransfer]):
    """Foreign ones are never credited: staff decide what becomes of them, with the wallet that holds them."""

    list_display = ["read_at", "chain", "what", "state_shown", "address", "tx_hash", "block_number"]
    list_display_links = ["read_at"]
    list_filter = ["state", "chain", ("read_at", Days)]
    sortable_by = ["read_at"]
    ordering = ["-read_at", "-pk"]
    search_fields = ["address__address", "tx_hash"]
    search_help_text = f"Address, transaction. {SHOWN}"
    by_account = "address__account"
    fields = [
        ("chain", "state"),
        ("what", "contract"),
        ("sender", "address"),
        ("tx_hash", "log_index"),
        ("block_number", "block_hash"),
        "read_at",
    ]
    readonly_fields = ["what"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChainTransfer]:
        return super().get_queryset(request).select_related("chain", "token", "address__account")

    @admin.display(description="amount")
    def what(self, row: ChainTransfer) -> str:
        if row.token is not None:
            return f"{row.token.terms.shown(int(row.units))} {row.token.symbol}"
        return f"{row.units} units of {row.contract or 'the coin of the chain'}"

    @admin.display(description="state")
    def state_shown(self, row: ChainTransfer) -> str:
        return row.state

    state_shown.label = STATES  # type: ignore[attr-defined]
