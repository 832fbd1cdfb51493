"""Admin pages of coupons: what staff hand out, and who redeemed which."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, ManyToManyField, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from billing.admin.action_pages import ActionPages, confirmed_action
from billing.admin.base import ReadOnly, linked
from billing.admin.history import HistoryAdmin, HistoryForm
from billing.admin.invoicing.documents import periods_shown
from billing.admin.lists.searching import SHOWN
from billing.api.sentences import to_staff
from billing.models import Coupon, CouponRedemption
from billing.models.catalogue.coupons import CouponRedemptionQuerySet
from billing.rules.money import in_currency
from billing.subscriptions import refusals
from billing.subscriptions.coupons import redeeming
from billing.users import fields_of_names


class CouponForm(HistoryForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and self.instance.amount is not None:
            self.initial["amount"] = in_currency(self.instance.amount, self.instance.currency)

    def clean_currency(self) -> str:
        return str(self.cleaned_data["currency"]).upper()

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        currency = self.cleaned_data.get("currency", self.instance.currency)
        others = [str(plan) for plan in self.cleaned_data.get("plans", ()) if currency not in ("", plan.currency)]
        if others:
            raise ValidationError({"plans": f"Not sold in {currency}: {', '.join(others)}."})
        return cleaned


class KindFilter(admin.SimpleListFilter):
    title = "what it takes off"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("percent", "A percentage"), ("amount", "An amount")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        kinds = {"percent": Q(percent__isnull=False), "amount": Q(amount__isnull=False)}
        return queryset.filter(kinds.get(self.value() or "", Q()))


class ExpiredFilter(admin.SimpleListFilter):
    title = "valid"
    parameter_name = "valid"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Still valid"), ("no", "Expired")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        expired = Q(valid_until__lte=timezone.now())
        return queryset.filter({"yes": ~expired, "no": expired}.get(self.value() or "", Q()))


@admin.register(Coupon)
class CouponAdmin(HistoryAdmin[Coupon]):
    """A coupon is withdrawn from use, never deleted: redemptions and billing periods refer to it."""

    form = CouponForm
    list_display = ["code", "name", "takes", "periods_shown", "plans_shown", "redeemed", "valid_until", "is_on_sale"]
    list_filter = ["is_on_sale", ExpiredFilter, KindFilter, "plans"]
    search_fields = ["code", "name"]
    fieldsets = [
        (None, {"fields": [("code", "name"), "is_on_sale"]}),
        ("What it takes off", {"fields": ["percent", ("amount", "currency"), "periods", "plans"]}),
        ("Who redeems it", {"fields": ["most_redemptions", "valid_until"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Coupon]:
        rows = super().get_queryset(request).prefetch_related("plans")
        rows = rows.annotate(redeemed_times=Count("redemptions", distinct=True))
        shown: QuerySet[Coupon] = linked(rows, request, "billing.view_couponredemption")
        return shown

    def get_readonly_fields(self, request: HttpRequest, obj: Coupon | None = None) -> list[str]:
        if obj is None:
            return []
        return ["code", *(Coupon.FIXED_ONCE_REDEEMED if obj.was_redeemed() else ())]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def formfield_for_manytomany(self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    @admin.display(description="off")
    def takes(self, row: Coupon) -> str:
        return row.takes()

    @admin.display(description="periods", ordering="periods")
    def periods_shown(self, row: Coupon) -> str:
        return periods_shown(row.periods)

    @admin.display(description="plans")
    def plans_shown(self, row: Coupon) -> str:
        return ", ".join(str(plan) for plan in row.plans.all()) or "all"

    @admin.display(description="redeemed", ordering="redeemed_times")
    def redeemed(self, row: Coupon) -> str:
        most = row.most_redemptions
        number = f"{getattr(row, 'redeemed_times', 0)}{'' if most is None else f' of {most:,}'}"
        if not getattr(row, "is_linked", False):
            return number
        url = reverse("admin:billing_couponredemption_changelist")
        return format_html('<a href="{}?coupon__id__exact={}">{}</a>', url, row.pk, number)


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("active", "Active"), ("used", "Used up"), ("withdrawn", "Withdrawn")]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[CouponRedemption]:
        rows: CouponRedemptionQuerySet = queryset
        if self.value() == "active":
            return rows.active()
        if self.value() == "withdrawn":
            return rows.filter(withdrawn_at__isnull=False)
        return rows.filter(withdrawn_at__isnull=True, periods_left=0) if self.value() == "used" else rows


@admin.register(CouponRedemption)
class CouponRedemptionAdmin(ReadOnly, ActionPages[CouponRedemption]):
    """Staff redeem a coupon for a customer on the subscription's page."""

    list_display = ["account", "coupon", "state", "redeemed_at", "periods_used", "left", "withdrawn_at"]
    list_display_links = ["account"]
    list_filter = [StateFilter, "coupon"]
    list_select_related = ["account", "coupon"]
    search_fields = [*fields_of_names("account__"), "coupon__code"]
    search_help_text = f"{SHOWN}, or a coupon's code"
    by_account = "account"
    fieldsets = [
        (None, {"fields": [("account", "coupon", "state"), ("redeemed_at", "withdrawn_at")]}),
        ("Periods", {"fields": [("periods_used", "left")]}),
    ]
    readonly_fields = ["state", "left"]
    actions_detail = ["withdraw"]

    def sensible_actions(self, row: CouponRedemption) -> set[str]:
        return {"withdraw"} if row.is_active else set()

    @admin.display(description="left", ordering="periods_left")
    def left(self, row: CouponRedemption) -> str:
        return periods_shown(row.periods_left)

    def state(self, row: CouponRedemption) -> str:
        if row.is_active:
            return "active"
        return "withdrawn" if row.withdrawn_at else "used up"

    state.label = {"active": "success", "used up": "info", "withdrawn": "warning"}  # type: ignore[attr-defined]

    @confirmed_action(
        "Withdraw the coupon",
        "No period that opens from now on is discounted, and no change of plan; what was billed stays. The customer "
        "cannot redeem the coupon again.",
        permission="change_subscriptions",
        icon="undo",
        danger=True,
    )
    def withdraw(self, request: HttpRequest, row: CouponRedemption) -> HttpResponse:
        try:
            with transaction.atomic():
                redeeming.withdraw(row, timezone.now())
                self.log_change(request, row, "Withdrawn.")
        except refusals.NoCoupon as error:
            return self.back(request, row, to_staff(error), messages.ERROR)
        return self.back(request, row, f"{row}: withdrawn.")
