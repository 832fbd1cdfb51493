"""How staff start a subscription for a customer: they say on which terms, see what that bills, and confirm it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from billing.admin.action_pages import ActionPages, page_action
from billing.admin.invoicing.documents import amount_of, documents_shown
from billing.admin.subscriptions.offers import REFUSALS
from billing.api.sentences import to_staff
from billing.models import Plan, Subscription
from billing.models.amounts import too_exact
from billing.models.catalogue.plans import LONGEST_TRIAL
from billing.subscriptions import refusals
from billing.subscriptions.staff import starting
from billing.subscriptions.staff.starting import Terms
from billing.users import User


class PlanChoice(forms.ModelChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, plan: Any) -> str:
        return f"{plan}: {amount_of(plan.price, plan.currency)} / {plan.interval}"


class StartForm(forms.Form):
    plan = PlanChoice(queryset=Plan.objects.on_sale(), to_field_name="code", widget=UnfoldAdminSelectWidget)
    since = forms.DateField(
        label="Starts on",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
        help_text="Blank: now. Of a customer without a subscription also an earlier day of this month (UTC), which is "
        "then billed.",
    )
    own_price = forms.DecimalField(
        label="Own price",
        required=False,
        min_value=Decimal(0),
        max_digits=15,
        decimal_places=4,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text="Of a period, in the plan's currency: what it costs at most, also when the list price rises. "
        "Blank: the list price.",
    )
    trial_days = forms.IntegerField(
        label="Trial days",
        required=False,
        min_value=0,
        max_value=LONGEST_TRIAL,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Free days before the first paid period, once for each customer. Blank or 0: none.",
    )

    def clean_since(self) -> date | None:
        since: date | None = self.cleaned_data["since"]
        return None if since == timezone.now().astimezone(UTC).date() else since

    def clean(self) -> dict[str, Any] | None:
        plan, price = self.cleaned_data.get("plan"), self.cleaned_data.get("own_price")
        if plan is not None and price is not None and (wrong := too_exact(price, plan.currency)):
            raise ValidationError({"own_price": wrong})
        return super().clean()

    def terms(self) -> Terms:
        given = self.cleaned_data
        return Terms(given["plan"], given["since"], given["own_price"], given["trial_days"] or 0)


class StartActions(ActionPages[User]):
    @page_action("Start a subscription", permission="change_subscriptions", icon="play_arrow")
    def start(self, request: HttpRequest, object_id: str) -> HttpResponse:
        user, now = self.existing(request, object_id), timezone.now()
        given = request.POST if request.method == "POST" else request.GET
        form = StartForm(given if "plan" in given else None)
        if not form.is_valid():
            return self._ask_terms(request, user, form)
        try:
            if request.method == "POST":
                return self._start(request, user, form, now)
            return self._preview_start(request, user, form, now)
        except REFUSALS as refused:
            form.add_error(None, to_staff(refused))
            return self._ask_terms(request, user, form)

    def _ask_terms(self, request: HttpRequest, user: User, form: StartForm) -> HttpResponse:
        live = Subscription.objects.live().filter(account=user).select_related("plan").first()
        about = f"{user} is on {live.plan}." if live else f"{user} has no subscription."
        return self.page(request, user, "start.html", f"Start a subscription for {user}", form=form, about=about)

    def _preview_start(self, request: HttpRequest, user: User, form: StartForm, now: datetime) -> HttpResponse:
        terms = form.terms()
        preview = starting.preview_start(user.pk, terms, now)
        period, plan = preview.period, terms.plan
        about = {
            "preview": preview,
            "plan": plan,
            "price": amount_of(period.net_price, period.currency),
            "later": amount_of(plan.price if terms.own_price is None else terms.own_price, plan.currency),
            "sent": [(name, form.data.get(name, "")) for name in form.fields],
        }
        title = f"Start {plan} for {user}?"
        return self.page(request, user, "start_preview.html", title, **about, **documents_shown(preview.documents))

    def _start(self, request: HttpRequest, user: User, form: StartForm, now: datetime) -> HttpResponse:
        try:
            with transaction.atomic():
                preview = starting.start(user.pk, form.terms(), now, request.POST.get("digest", ""))
                billed = ", ".join(str(invoice) for invoice, _ in preview.documents.invoices) or "nothing"
                since = f"{preview.period.starts_at:%Y-%m-%d %H:%M:%S} UTC"
                done = f"Subscription to {form.terms().plan} started at {since}. Billed: {billed}."
                self.log_change(request, user, done)
        except refusals.QuoteExpired as stale:
            messages.warning(request, to_staff(stale))
            return self._preview_start(request, user, form, now)
        return self.back(request, user, done)
