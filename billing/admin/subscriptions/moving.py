"""The form by which staff begin to move many subscribers: all of a plan, or those that were chosen."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.options import ModelAdmin as DjangoModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from billing.admin.action_pages import ActionPages, page_action
from billing.api.sentences import to_staff
from billing.models import BulkMove, Plan, Subscription
from billing.subscriptions.bulk import moves, work
from billing.subscriptions.refusals import PlanChangeRefused

MOVE = "move_subscribers"
MOST_CHOSEN = 20_000
TRIED_AT_ONCE = timedelta(seconds=2)
"""How long the page may take to try them; the worker tries the rest."""


class MoveForm(forms.Form):
    target = forms.ModelChoiceField(
        Plan.objects.none(), to_field_name="code", label="To", widget=UnfoldAdminSelectWidget
    )
    when = forms.ChoiceField(
        choices=BulkMove.When.choices, initial=BulkMove.When.AT_PERIOD_END, widget=UnfoldAdminRadioSelectWidget
    )
    keeps_price = forms.BooleanField(
        required=False,
        label="Keep their price",
        widget=UnfoldBooleanSwitchWidget,
        help_text="Whoever pays less than the plan costs goes on paying what he pays, until his next change of plan.",
    )
    reason = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget,
        help_text="Why. Staff read it on the move and on each subscription's history; the customers do not see it.",
    )

    def __init__(self, *args: Any, source: Plan, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["target"].queryset = Plan.objects.on_sale().exclude(pk=source.pk)  # type: ignore[attr-defined]


class MovingAdmin(ActionPages[Plan]):
    @page_action("Move subscribers", permission=MOVE, icon="group_work")
    def move_subscribers(self, request: HttpRequest, object_id: str) -> HttpResponse:
        plan = self.existing(request, object_id)
        text = request.POST.get("chosen", "")
        chosen = None if not text else [int(each) for each in text.split(",") if each.isdecimal() and len(each) < 19]
        form = MoveForm(request.POST or None, source=plan)
        if form.is_valid():
            try:
                return _begun(request, _order(request, plan, form.cleaned_data), chosen)
            except PlanChangeRefused as refused:
                form.add_error(None, to_staff(refused))
        return form_page(self, request, plan, form, chosen)


def form_page(
    admin: DjangoModelAdmin[Any], request: HttpRequest, plan: Plan, form: MoveForm, chosen: Collection[int] | None
) -> HttpResponse:
    pages: ActionPages[Any] = admin  # type: ignore[assignment]
    rows = Subscription.objects.live().filter(plan=plan)
    count = rows.count() if chosen is None else len(chosen)
    who = "All subscribers" if chosen is None else "The chosen subscribers"
    of_plan, listed = reverse("admin:billing_plan_change", args=[plan.pk]), "admin:billing_subscription_changelist"
    return pages.page(
        request,
        plan,
        "form.html",
        f"Move subscribers of {plan}",
        form=form,
        button="Try it",
        about=f"{who} of {plan}, {count:,}. Each is tried first; you see what that comes to, and nobody is moved "
        "before you confirm it.",
        hidden={} if chosen is None else {"chosen": ",".join(map(str, chosen))},
        form_url=reverse("admin:billing_plan_move_subscribers", args=[plan.pk]),
        back_url=of_plan if chosen is None else reverse(listed),
    )


def ask_where_to(
    admin: ActionPages[Subscription], request: HttpRequest, queryset: QuerySet[Subscription]
) -> HttpResponse | None:
    """The same form for rows chosen in a list; None, with a message, where they are not of one plan."""
    rows = dict(
        queryset.order_by("pk").filter(status=Subscription.Status.ACTIVE).values_list("pk", "plan")[: MOST_CHOSEN + 1]
    )
    if len(rows) > MOST_CHOSEN:
        return HttpResponseBadRequest(f"At most {MOST_CHOSEN:,} can be chosen; a plan's page moves all of its own.")
    if len(set(rows.values())) != 1:
        text = "Choose live subscriptions of one plan: they are moved from it to another one."
        messages.error(request, text)
        return None
    plan = Plan.objects.get(pk=next(iter(rows.values())))
    return form_page(admin, request, plan, MoveForm(source=plan), list(rows))


def _order(request: HttpRequest, plan: Plan, given: dict[str, Any]) -> moves.Order:
    return moves.Order(plan, given["target"], given["when"], given["keeps_price"], given["reason"], request.user.pk)


def _begun(request: HttpRequest, order: moves.Order, chosen: Collection[int] | None) -> HttpResponse:
    now = timezone.now()
    move = moves.begin(order, now, chosen)
    work.work_off(move, timezone.now, now + TRIED_AT_ONCE)
    return HttpResponseRedirect(reverse("admin:billing_bulkmove_change", args=[move.pk]))
