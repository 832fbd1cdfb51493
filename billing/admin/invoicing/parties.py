"""Admin pages of who sells and who buys: the seller, customers' billing details, rates of tax."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from billing.admin.history import HistoryAdmin
from billing.admin.lists.filters import Countries
from billing.admin.lists.searching import SHOWN
from billing.admin.of_account import OfAccount
from billing.models import BillingDetails, Seller, TaxRate
from billing.users import fields_of_names

ADDRESS: Any = ("Name and address", {"fields": ["name", "address", ("postcode", "city"), ("country", "vat_id")]})


@admin.register(Seller)
class SellerAdmin(HistoryAdmin[Seller]):
    """One row. Without it invoices bear no tax, and there are no documents of them."""

    list_display = ["name", "country", "vat_id", "payment_days"]
    fieldsets = [
        ADDRESS,
        ("Payment", {"fields": ["email", "iban", "payment_text", "payment_days"]}),
        ("Sentences", {"fields": ["reverse_charge_text"]}),
    ]

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(super().has_add_permission(request)) and not Seller.objects.exists()

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(TaxRate)
class TaxRateAdmin(HistoryAdmin[TaxRate]):
    """A rate of 0 ends one; none is deleted."""

    list_display = ["country", "name", "percent_shown", "valid_from"]
    list_filter = ["country"]
    search_fields = ["country", "name"]
    fieldsets = [(None, {"fields": [("country", "name"), ("percent", "valid_from")]})]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @admin.display(description="percent", ordering="percent")
    def percent_shown(self, row: TaxRate) -> str:
        return f"{row.percent.normalize():f} %"


@admin.register(BillingDetails)
class BillingDetailsAdmin(OfAccount[BillingDetails]):
    """What the customer gave; it is named so from the next invoice on."""

    compressed_fields = False
    list_filter_sheet = False
    warn_unsaved_form = True
    list_display = ["account", "name", "country", "vat_id", "changed_at"]
    list_display_links = ["account"]
    list_select_related = ["account"]
    list_filter = [Countries, ("vat_id", admin.EmptyFieldListFilter)]
    sortable_by = ()
    ordering = ["-pk"]
    search_fields = fields_of_names("account__")
    search_help_text = SHOWN
    by_account = "account"
    autocomplete_fields = ["account"]
    fieldsets = [(None, {"fields": ["account"]}), ADDRESS]

    def get_readonly_fields(self, request: HttpRequest, obj: BillingDetails | None = None) -> list[Any]:
        return ["account"] if obj else []
