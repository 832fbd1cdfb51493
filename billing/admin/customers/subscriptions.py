"""Admin pages of customers' subscriptions."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from billing.admin.base import ReadOnly, TabularInline, once, shown_once
from billing.admin.invoicing.documents import amount_of, invoice_link, redemption_link
from billing.admin.lists.searching import SHOWN
from billing.admin.subscriptions.moving import ask_where_to
from billing.admin.subscriptions.overage import OverageCapAdmin
from billing.models import BillingPeriod, Invoice, Subscription
from billing.models.subscriptions.subscription import SubscriptionQuerySet
from billing.rules import money
from billing.subscriptions.coupons import discounts
from billing.subscriptions.current import CurrentSubscription, current_subscription
from billing.users import fields_of_names


class BillingPeriodInline(ReadOnly, TabularInline[BillingPeriod, Subscription]):
    model = BillingPeriod
    extra = 0
    fields = ["number", "starts_at", "ends_at", "title", "price_shown", "discount_shown"]
    readonly_fields = ["title", "price_shown", "discount_shown"]
    ordering = ["-number"]
    hide_title = True
    per_page = 24

    @admin.display(description="sold")
    def title(self, row: BillingPeriod) -> str:
        return row.title

    @admin.display(description="price of the whole period")
    def price_shown(self, row: BillingPeriod) -> str:
        return f"{money.in_currency(row.price, row.currency)} {row.currency}"

    @admin.display(description="discount")
    def discount_shown(self, row: BillingPeriod) -> str:
        return f"{amount_of(row.discount, row.currency)}, {row.coupon}" if row.discount else "none"

    def get_queryset(self, request: HttpRequest) -> QuerySet[BillingPeriod]:
        return super().get_queryset(request).select_related("plan", "coupon")


class InvoiceInline(ReadOnly, TabularInline[Invoice, Subscription]):
    model = Invoice
    extra = 0
    fields = ["invoice", "status", "total_shown", "due_shown", "issued_at"]
    readonly_fields = ["invoice", "total_shown", "due_shown"]
    hide_title = True
    per_page = 24

    def invoice(self, row: Invoice) -> str:
        return invoice_link(row)

    @admin.display(description="total")
    def total_shown(self, row: Invoice) -> str:
        return amount_of(row.total, row.currency)

    @admin.display(description="due")
    def due_shown(self, row: Invoice) -> str:
        return amount_of(row.due, row.currency)


class ParkedFilter(admin.SimpleListFilter):
    title = "parked for staff"
    parameter_name = "parked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Parked"), ("no", "Not parked")]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Subscription]:
        subscriptions: SubscriptionQuerySet = queryset
        if self.value() == "yes":
            return subscriptions.parked()
        return subscriptions.not_parked() if self.value() == "no" else subscriptions


class EndingFilter(admin.SimpleListFilter):
    title = "ends with its period"
    parameter_name = "ending"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Canceled, not ended yet")]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Subscription]:
        subscriptions: SubscriptionQuerySet = queryset
        return subscriptions.ending() if self.value() == "yes" else subscriptions


class TrialFilter(admin.SimpleListFilter):
    title = "trial"
    parameter_name = "trial"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "On trial")]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Subscription]:
        subscriptions: SubscriptionQuerySet = queryset
        return subscriptions.on_trial() if self.value() == "yes" else subscriptions


class PayingFilter(admin.SimpleListFilter):
    title = "price"
    parameter_name = "paying"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Pays for the present period")]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Subscription]:
        subscriptions: SubscriptionQuerySet = queryset
        return subscriptions.paying() if self.value() == "yes" else subscriptions


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnly, OverageCapAdmin):
    """Written by billing.subscriptions.changes alone, which keeps plan, periods and schedule in step."""

    change_form_before_template = "admin/billing/subscription/parked.html"
    list_display = ["account", "plan", "status_shown", "anchor", "scheduled_plan", "scheduled_at", "created_at"]
    list_display_links = ["account"]
    list_filter = [ParkedFilter, EndingFilter, TrialFilter, PayingFilter, "status", "plan"]
    actions = ["move_chosen"]
    list_select_related = ["account", "plan", "scheduled_plan"]
    search_fields = fields_of_names("account__")
    search_help_text = SHOWN
    by_account = "account"
    sortable_by = ()
    ordering = ["-pk"]
    fieldsets = [
        (None, {"fields": [("account", "plan", "status")]}),
        (
            "Now",
            {
                "fields": [
                    ("present_period", "present_price", "kept_price"),
                    ("balance", "next_invoice"),
                    "coupon",
                ]
            },
        ),
        ("Trial", {"fields": [("trial_ends_at", "trial_needs_payment_method")]}),
        ("Above the quota", {"fields": [("overage_shown", "overage_cap_tokens")]}),
        ("Scheduled change", {"fields": [("scheduled_plan", "scheduled_at", "scheduled_kept_price")]}),
        ("End", {"fields": [("cancel_at", "ended_at"), "cancel_reason"]}),
        ("Time", {"fields": [("anchor", "created_at")]}),
    ]
    readonly_fields = ["present_period", "present_price", "balance", "next_invoice", "coupon", "overage_shown"]
    inlines = [BillingPeriodInline, InvoiceInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        return super().get_queryset(request).select_related(*self.list_select_related)

    @admin.action(description="Move to another plan …", permissions=["move_subscribers"])
    def move_chosen(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> HttpResponse | None:
        """Those that are chosen, all of one plan; of that plan's page the button moves all of its subscribers."""
        return ask_where_to(self, request, queryset)

    @admin.display(description="status", ordering="status")
    def status_shown(self, row: Subscription) -> str:
        if row.is_live and row.cancel_at:
            return "Ending"
        if row.is_parked:
            return "Parked"
        return "Trial" if row.is_live and row.is_on_trial else str(row.get_status_display())

    status_shown.label = {  # type: ignore[attr-defined]
        "Active": "success",
        "Parked": "warning",
        "Ending": "warning",
        "Trial": "info",
        "Canceled": "danger",
    }

    def present_period(self, row: Subscription) -> str:
        current = _current(row)
        if current is None:
            return "none"
        period = current.period
        late = "" if period.pk else " (its close is late)"
        return f"{period.title}, {period.starts_at:%Y-%m-%d %H:%M:%S} to {period.ends_at:%Y-%m-%d %H:%M:%S}{late}"

    @admin.display(description="price of the present period")
    def present_price(self, row: Subscription) -> str:
        current = _current(row)
        return amount_of(current.period.price, current.period.currency) if current else "none"

    @admin.display(description="balance, owed to the customer")
    @shown_once
    def balance(self, row: Subscription) -> str:
        current = _current(row)
        return amount_of(current.balance, current.period.currency) if current else "none"

    @admin.display(description="next invoice, at present prices")
    @shown_once
    def next_invoice(self, row: Subscription) -> str:
        current = _current(row)
        return amount_of(current.next_invoice_amount, current.period.currency) if current else "none"

    @admin.display(description="coupon of the next periods")
    @shown_once
    def coupon(self, row: Subscription) -> str:
        redemption = discounts.active(row.account_id) if row.is_live else None
        return redemption_link(redemption) if redemption else "none"


def _current(row: Subscription) -> CurrentSubscription | None:
    """As the API shows it to the customer; None once the subscription has ended."""
    if not row.is_live:
        return None
    return once(row, "current", lambda: current_subscription(row.account_id, timezone.now()))
