"""Admin pages of token packs: what is on sale, and who bought which."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from billing.admin.base import ModelAdmin, ReadOnly
from billing.admin.history import HistoryAdmin
from billing.admin.invoicing.documents import amount_of
from billing.admin.lists.searching import SHOWN
from billing.models import TokenPack, TokenPackPurchase


@admin.register(TokenPack)
class TokenPackAdmin(HistoryAdmin[TokenPack]):
    """A pack is taken off sale, never deleted: invoices refer to it."""

    list_display = ["name", "code", "tokens_shown", "price_shown", "valid_days", "counts_at_once", "is_on_sale"]
    list_filter = ["is_on_sale"]
    search_fields = ["code", "name"]
    fieldsets = [
        (None, {"fields": [("name", "code"), "is_on_sale"]}),
        ("What it is", {"fields": [("tokens", "valid_days"), "counts_at_once"]}),
        ("Price", {"fields": [("price", "currency")]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: TokenPack | None = None) -> list[str]:
        return ["code"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description="tokens", ordering="tokens")
    def tokens_shown(self, row: TokenPack) -> str:
        return f"{row.tokens:,}"

    @admin.display(description="price", ordering="price")
    def price_shown(self, row: TokenPack) -> str:
        return amount_of(row.price, row.currency)


@admin.register(TokenPackPurchase)
class TokenPackPurchaseAdmin(ReadOnly, ModelAdmin[TokenPackPurchase]):
    list_display = ["account", "pack", "tokens", "invoice", "bought_at", "activated_at"]
    list_display_links = ["account"]
    list_filter = ["pack", ("activated_at", admin.EmptyFieldListFilter)]
    list_select_related = ["account", "pack", "invoice"]
    search_fields = ["invoice__number"]
    search_help_text = f"Invoice. {SHOWN}"
    by_account = "account"
