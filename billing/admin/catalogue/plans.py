"""Admin pages of capabilities and plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import Field, ManyToManyField, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from billing.admin.action_pages import confirmed_action
from billing.admin.base import FencedAdmin, linked, unlimited
from billing.admin.budgets import BudgetsOfEachKey
from billing.admin.catalogue.notices import NoticeThresholds
from billing.admin.history import HistoryAdmin, HistoryForm
from billing.admin.invoicing.documents import amount_of
from billing.admin.subscriptions.moving import MovingAdmin
from billing.api.sentences import to_staff
from billing.catalogue import plans
from billing.models import Capability, Plan, Subscription
from billing.models.catalogue.plans import PlanQuerySet
from billing.rules import money
from billing.rules.tokens.overage import shown_price

BLANK_IS_UNLIMITED = ("monthly_token_quota", "requests_per_minute")


@admin.register(Capability)
class CapabilityAdmin(FencedAdmin[Capability]):
    list_display = ["code", "name", "in_plans", "needed_by"]
    search_fields = ["code", "name"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Capability]:
        return super().get_queryset(request).prefetch_related("plans", "features")

    def get_readonly_fields(self, request: HttpRequest, obj: Capability | None = None) -> list[str]:
        return ["code"] if obj else []

    @admin.display(description="included in plans", empty_value="none")
    def in_plans(self, row: Capability) -> str | None:
        return ", ".join(plan.name for plan in row.plans.all()) or None

    @admin.display(description="needed by features", empty_value="none")
    def needed_by(self, row: Capability) -> str | None:
        return ", ".join(feature.code for feature in row.features.all()) or None


class SaleFilter(admin.SimpleListFilter):
    title = "sale"
    parameter_name = "archived"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "On sale"), ("yes", "Archived")]

    def queryset(self, request: HttpRequest, queryset: Any) -> QuerySet[Plan]:
        rows: PlanQuerySet = queryset
        if self.value() == "no":
            return rows.on_sale()
        return rows.archived() if self.value() == "yes" else rows


class PlanForm(HistoryForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["price"] = money.in_currency(self.instance.price, self.instance.currency)
        if self.instance.overage_price is not None:
            self.initial["overage_price"] = shown_price(self.instance.overage_price, self.instance.currency)

    def clean_currency(self) -> str:
        return str(self.cleaned_data["currency"]).upper()


def default_plan_means(plan: Plan) -> str:
    price = f"{amount_of(plan.price, plan.currency)} for each {plan.interval}"
    after = " after the trial" if plan.trial_days else ""
    billed = f" Each of them is billed {price}{after}, without having chosen to pay." if plan.price else ""
    start = "Customers who have not chosen a plan start on this one."
    return f"{start}{billed} Those who have started keep the plan they have."


@admin.register(Plan)
class PlanAdmin(MovingAdmin, HistoryAdmin[Plan]):
    """A plan is archived, never deleted: subscriptions and invoices refer to it."""

    form = PlanForm
    change_form_before_template = "admin/plan_reach.html"
    list_display = [
        "name",
        "code",
        "rank",
        "price_shown",
        "quota_shown",
        "rate_shown",
        "capabilities_shown",
        "subscribers_shown",
        "state",
    ]
    list_filter = [SaleFilter]
    list_filter_sheet = True
    search_fields = ["code", "name"]
    actions_detail = ["make_default", "archive", "put_on_sale", "move_subscribers"]
    fieldsets = [
        (None, {"fields": [("name", "code", "rank")]}),
        ("Price", {"fields": [("price", "currency", "interval"), "upgrade_mode"]}),
        ("Trial", {"fields": [("trial_days", "trial_needs_payment_method")]}),
        (
            "What subscribers get",
            {"fields": [("monthly_token_quota", "requests_per_minute", "quota_window"), "capabilities"]},
        ),
    ]
    overage_fieldset = ("Above the quota", {"fields": [("overage_price", "overage_cap_tokens")]})
    state_fieldset = ("State", {"fields": [("is_default", "archived_at", "created_at")]})

    def get_queryset(self, request: HttpRequest) -> QuerySet[Plan]:
        rows = plans.with_subscribers(super().get_queryset(request).prefetch_related("capabilities"))
        shown: QuerySet[Plan] = linked(rows, request, "billing.view_subscription")
        return shown

    def get_fieldsets(self, request: HttpRequest, obj: Plan | None = None) -> Any:
        fieldsets = [*self.fieldsets, self.overage_fieldset]
        return [*fieldsets, self.state_fieldset] if obj else fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Plan | None = None) -> list[str]:
        # The state changes by the buttons only; a code is what clients rely on.
        fixed = ["is_default", "archived_at", "created_at"]
        if obj is None:
            return fixed
        sold: bool | None = getattr(request, "plan_was_sold", None)  # asked once a page
        if sold is None:
            sold = request.plan_was_sold = obj.was_sold()  # type: ignore[attr-defined]
        return [*fixed, "code", *(Plan.FIXED_ONCE_SOLD if sold else ())]

    def get_inlines(self, request: HttpRequest, obj: Plan | None) -> Any:
        return [NoticeThresholds, BudgetsOfEachKey] if obj else []  # a new plan gets the usual ones

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and db_field.name in BLANK_IS_UNLIMITED:
            field.widget.attrs["placeholder"] = "unlimited"
        return field

    def formfield_for_manytomany(self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    @admin.display(description="price", ordering="price")
    def price_shown(self, row: Plan) -> str:
        shown = f"{money.in_currency(row.price, row.currency)} {row.currency} / {row.interval}"
        return shown.replace(" ", "\N{NO-BREAK SPACE}")

    @admin.display(description="tokens / window", ordering="monthly_token_quota")
    def quota_shown(self, row: Plan) -> str:
        return unlimited(row.monthly_token_quota)

    @admin.display(description="requests / minute", ordering="requests_per_minute")
    def rate_shown(self, row: Plan) -> str:
        return unlimited(row.requests_per_minute)

    @admin.display(description="capabilities", empty_value="none")
    def capabilities_shown(self, row: Plan) -> str | None:
        return ", ".join(row.capability_codes()) or None

    @admin.display(description="subscribers", ordering="subscribers")
    def subscribers_shown(self, row: Plan) -> str:
        number = getattr(row, "subscribers", 0)
        if not getattr(row, "is_linked", False):
            return str(number)
        url, active = reverse("admin:billing_subscription_changelist"), Subscription.Status.ACTIVE
        return format_html('<a href="{}?plan__id__exact={}&amp;status__exact={}">{}</a>', url, row.pk, active, number)

    def state(self, row: Plan) -> str:
        if not row.is_on_sale:
            return "archived"
        return "default" if row.is_default else "on sale"

    state.label = {"archived": "warning", "default": "info", "on sale": "success"}  # type: ignore[attr-defined]

    def sensible_actions(self, row: Plan) -> set[str]:
        moves = {"move_subscribers"} if getattr(row, "subscribers", 0) else set()
        if not row.is_on_sale:
            return {"put_on_sale"} | moves
        return moves if row.is_default else {"archive", "make_default"} | moves

    @confirmed_action(
        "Archive the plan",
        "Nobody can choose the plan from now on. Its subscribers keep it.",
        permission="change",
        icon="archive",
    )
    def archive(self, request: HttpRequest, plan: Plan) -> HttpResponse:
        return self._sell(request, plan, "Archived.", lambda pk: plans.archive(pk, timezone.now()))

    @confirmed_action(
        "Put the plan on sale", "Customers can choose the plan again.", permission="change", icon="unarchive"
    )
    def put_on_sale(self, request: HttpRequest, plan: Plan) -> HttpResponse:
        return self._sell(request, plan, "Put on sale.", plans.put_on_sale)

    @confirmed_action(
        "Make it the default plan",
        default_plan_means,
        permission="change",
        icon="home",
    )
    def make_default(self, request: HttpRequest, plan: Plan) -> HttpResponse:
        return self._sell(request, plan, "Made the default plan.", plans.make_default)

    def _sell(self, request: HttpRequest, plan: Plan, done: str, change: Callable[[int], Plan]) -> HttpResponse:
        try:
            changed = change(plan.pk)
        except plans.NotForSale as refused:
            return self.back(request, plan, to_staff(refused), messages.ERROR)
        if (changed.archived_at, changed.is_default) == (plan.archived_at, plan.is_default):
            return self.back(request, plan, f"{plan}: nothing was changed, it was so before.", messages.WARNING)
        self.log_change(request, changed, done)
        return self.back(request, plan, f"{plan}: {done}")
