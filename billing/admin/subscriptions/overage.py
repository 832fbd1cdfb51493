"""What staff do about tokens above the quota: they set a customer's cap, and see what was billed of each window."""

from __future__ import annotations

from django import forms
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from billing.admin.action_pages import page_action
from billing.admin.base import ModelAdmin, ReadOnly, shown_once, unlimited
from billing.admin.invoicing.documents import amount_of
from billing.admin.lists.filters import Currencies
from billing.admin.lists.ranges import Days
from billing.admin.lists.searching import SHOWN
from billing.admin.subscriptions.changes import PlanChangeAdmin
from billing.admin.subscriptions.endings import MAY_CHANGE
from billing.admin.subscriptions.offers import REFUSALS
from billing.api.sentences import to_staff
from billing.entitlements.overage import overage_now
from billing.models import Subscription, WindowOverage
from billing.rules.tokens.overage import shown_price
from billing.subscriptions.overage import cap
from ratelimit.limits import LARGEST_NUMBER


class CapForm(forms.Form):
    cap_tokens = forms.IntegerField(
        label="Most tokens above the quota",
        required=False,
        min_value=0,
        max_value=LARGEST_NUMBER,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="In each usage window. Blank: the plan's own cap; 0: none.",
    )


class OverageCapAdmin(PlanChangeAdmin):
    actions_detail = [*PlanChangeAdmin.actions_detail, "overage_cap"]

    def sensible_actions(self, row: Subscription) -> set[str]:
        sensible = super().sensible_actions(row)
        sells = row.is_live and not row.is_parked and row.plan.may_sell_overage
        return sensible | {"overage_cap"} if sells and row.current_period().overage_price is not None else sensible

    @page_action("Cap the overage", permission=MAY_CHANGE, icon="production_quantity_limits")
    def overage_cap(self, request: HttpRequest, object_id: str) -> HttpResponse:
        subscription = self.live(request, object_id)
        form = CapForm(request.POST or None, initial={"cap_tokens": subscription.overage_cap_tokens})
        if form.is_valid():
            try:
                return self.back(
                    request, subscription, self._cap(request, subscription, form.cleaned_data["cap_tokens"])
                )
            except REFUSALS as refusal:
                form.add_error(None, to_staff(refusal))
        about = (
            f"{subscription.account} is on {subscription.plan}, whose own cap is "
            f"{subscription.plan.overage_cap_tokens:,} tokens. The cap acts on the next call, and stays when the plan "
            "is changed."
        )
        title = f"Cap the overage of {subscription.account}"
        return self.page(request, subscription, "form.html", title, form=form, button="Set the cap", about=about)

    def _cap(self, request: HttpRequest, subscription: Subscription, cap_tokens: int | None) -> str:
        with transaction.atomic():
            capped = cap.set_cap(subscription.account_id, cap_tokens, timezone.now())
            own = "the plan's own, " if cap_tokens is None else ""
            done = f"Cap on tokens above the quota: {own}{capped.overage_cap:,}."
            self.log_change(request, subscription, done)
        return done

    @admin.display(description="used above the quota", empty_value="none is sold")
    @shown_once
    def overage_shown(self, row: Subscription) -> str | None:
        overage = overage_now(row.account_id, timezone.now()) if row.is_live else None
        if overage is None:
            return None
        terms = overage.terms
        unit = f"{shown_price(terms.price, terms.currency)} {terms.currency} per 1,000"
        cost = amount_of(overage.amount, terms.currency)
        return f"{overage.tokens:,} of {terms.cap_tokens:,} tokens at {unit}: {cost} up to now"


@admin.register(WindowOverage)
class WindowOverageAdmin(ReadOnly, ModelAdmin[WindowOverage]):
    """Written by the close of billing periods."""

    list_display = [
        "account",
        "window_starts_at",
        "until",
        "included_shown",
        "used",
        "tokens",
        "amount_shown",
        "invoice",
    ]
    list_display_links = ["account"]
    list_filter = [("invoice", admin.EmptyFieldListFilter), Currencies, ("until", Days)]
    list_select_related = ["account", "invoice"]
    search_fields = ["invoice__number"]
    search_help_text = f"Invoice. {SHOWN}"
    by_account = "account"
    sortable_by = ["until"]
    summed = ("amount",)
    exported = ("currency", "amount")
    readonly_fields = ["included_shown", "unit_price_shown", "amount_shown"]
    fields = [
        "account",
        ("window_starts_at", "until"),
        ("included_shown", "used"),
        ("tokens", "unit_price_shown", "amount_shown"),
        "invoice",
    ]

    @admin.display(description="included", ordering="included")
    def included_shown(self, row: WindowOverage) -> str:
        return unlimited(row.included)

    @admin.display(description="price of 1,000 tokens", empty_value="none was sold")
    def unit_price_shown(self, row: WindowOverage) -> str | None:
        return None if row.unit_price is None else f"{shown_price(row.unit_price, row.currency)} {row.currency}"

    @admin.display(description="billed", ordering="amount")
    def amount_shown(self, row: WindowOverage) -> str:
        return amount_of(row.amount, row.currency)
