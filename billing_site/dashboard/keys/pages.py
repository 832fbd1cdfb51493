"""Keys: listed, made, renamed, rotated, revoked.

A new key stands in the answer to the form that made it and nowhere else: a redirect would need a place to keep it. The
form makes one key however often it is sent, so that loading the page again makes none.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.api.key_serializers import LONGEST_NAME
from billing.entitlements import api_keys
from billing.http.idempotency import once
from billing.members.rights import Right
from billing.models import ApiKey
from billing.models.entitlements.budgets import terms_of
from billing_site.dashboard.access import DashboardRequest, dashboard_page
from billing_site.dashboard.forms import TOKEN, back_to, saying_why_not
from billing_site.dashboard.keys import limits as key_limits
from billing_site.dashboard.keys.first_call import first_call
from billing_site.dashboard.keys.limits import LimitsForm

KEYS = "dashboard-keys"
MOST_SHOWN = 200
MOST_ENDED_SHOWN = 20
LONGEST_DAYS = 3650
ON_A_DAY = "day"


class NewKeyForm(forms.Form):
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=LONGEST_NAME,
        help_text=gettext_lazy("Where it is used, such as “production server”."),
    )
    expires = forms.ChoiceField(
        label=gettext_lazy("Expires"),
        choices=[
            ("30", gettext_lazy("In 30 days")),
            ("90", gettext_lazy("In 90 days")),
            (ON_A_DAY, gettext_lazy("After a day that you choose")),
            ("", gettext_lazy("Never")),
        ],
        initial="90",
        required=False,
    )
    day = forms.DateField(
        label=gettext_lazy("Last day"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        input_formats=["%Y-%m-%d"],
        help_text=gettext_lazy("Only with “After a day that you choose”."),
    )
    scope = forms.ChoiceField(
        label=gettext_lazy("It may"),
        choices=[
            (ApiKey.Scope.NONE.value, gettext_lazy("Call the API")),
            (ApiKey.Scope.MANAGE.value, gettext_lazy("Call the API, and make, rotate and revoke keys")),
        ],
        required=False,
        help_text=gettext_lazy("Calls of the API also see invoices and change the plan."),
    )

    def __init__(self, *args: Any, now: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.now = now

    def clean_day(self) -> date | None:
        day: date | None = self.cleaned_data["day"]
        if self.cleaned_data.get("expires") != ON_A_DAY:
            return None
        today = timezone.localdate(self.now)
        if day is None or not today <= day <= today + timedelta(LONGEST_DAYS):
            raise forms.ValidationError(_("Choose today or a later day, within ten years."))
        return day

    def expires_at(self) -> datetime | None:
        """None: never. A day is over at midnight where the person is."""
        if day := self.cleaned_data["day"]:
            return timezone.make_aware(datetime.combine(day + timedelta(1), time.min))
        days = self.cleaned_data["expires"]
        return self.now + timedelta(int(days)) if days else None


class RenameForm(forms.Form):
    name = forms.CharField(label=gettext_lazy("Name"), max_length=LONGEST_NAME)


class RotationForm(forms.Form):
    overlap = forms.TypedChoiceField(
        label=gettext_lazy("The present key goes on for"),
        coerce=int,
        choices=[
            (0, gettext_lazy("No time: it ends at once")),
            (3_600, gettext_lazy("One hour")),
            (86_400, gettext_lazy("One day")),
            (604_800, gettext_lazy("Seven days")),
        ],
        initial=86_400,
    )


@dashboard_page(Right.DEVELOP)
def show(request: DashboardRequest) -> HttpResponseBase:
    """The account's keys and the form for another one; its answer is the only page that shows the new one."""
    acting = request.acting
    form, bounds = NewKeyForm(request.POST or None, now=acting.now), LimitsForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and bounds.is_valid():
        given = form.cleaned_data
        with saying_why_not(request):
            new = _once(
                request,
                lambda: api_keys.create(
                    acting.account,
                    given["name"],
                    acting.now,
                    scope=given["scope"],
                    expires_at=form.expires_at(),
                    limits=bounds.given(),
                ),
            )
            if new is not None:
                return _shown_once(request, new)
            messages.warning(
                request, _("That key was made before, and it is shown only once. If you do not have it, rotate it.")
            )
        return back_to(KEYS)
    rows = [(row, row.state(acting.now)) for row in api_keys.keys_of(acting.account)[:MOST_SHOWN]]
    context = {
        "form": form,
        "bounds": bounds,
        "live": [(row, key_limits.said(row)) for row, state in rows if state == ApiKey.State.VALID],
        "replaced": {row.replaces_id for row, state in rows if state != ApiKey.State.REVOKED},
        "ended": [(row, state.label) for row, state in rows if state != ApiKey.State.VALID][:MOST_ENDED_SHOWN],
    }
    return render(request, "dashboard/keys.html", context)


@dashboard_page(Right.DEVELOP)
def rename(request: DashboardRequest, key: str) -> HttpResponseBase:
    row, acting = _own(request, key), request.acting
    form = RenameForm(request.POST or None, initial={"name": row.name}, label_suffix="")
    if request.method == "POST" and form.is_valid():
        with saying_why_not(request):
            api_keys.change(acting.account, row.pk, acting.now, form.cleaned_data)
            messages.success(request, _("Saved."))
        return back_to(KEYS)
    return render(request, "dashboard/key_rename.html", {"key": row, "form": form})


@dashboard_page(Right.DEVELOP)
def limits(request: DashboardRequest, key: str) -> HttpResponseBase:
    row, acting = _own(request, key), request.acting
    form = LimitsForm(request.POST or None, initial=terms_of(row)._asdict())
    if request.method == "POST" and form.is_valid():
        with saying_why_not(request):
            api_keys.change(acting.account, row.pk, acting.now, {}, form.given())
            messages.success(request, _("Saved."))
        return back_to(KEYS)
    context = {"key": row, "form": form, "stands": key_limits.standings(row, acting.now)}
    return render(request, "dashboard/key_limits.html", context)


@dashboard_page(Right.DEVELOP)
def rotate(request: DashboardRequest, key: str) -> HttpResponseBase:
    """Ask how long the present key goes on; the answer shows the new one."""
    row, acting = _own(request, key), request.acting
    form = RotationForm(request.POST or None, label_suffix="")
    if request.method == "POST" and form.is_valid():
        overlap = timedelta(seconds=form.cleaned_data["overlap"])
        with saying_why_not(request):
            return _shown_once(request, api_keys.rotate(acting.account, row.pk, overlap, acting.now))
        return back_to(KEYS)
    return render(request, "dashboard/key_rotate.html", {"key": row, "form": form})


@dashboard_page(Right.DEVELOP)
def revoke(request: DashboardRequest, key: str) -> HttpResponseBase:
    row = _own(request, key)
    if request.method == "POST":
        api_keys.revoke(request.acting.account, row.pk)
        messages.success(request, _("The key “%(name)s” is revoked.") % {"name": row.name})
        return back_to(KEYS)
    return render(request, "dashboard/key_revoke.html", {"key": row})


def _own(request: DashboardRequest, key: str) -> ApiKey:
    row: ApiKey | None = api_keys.keys_of(request.acting.account).filter(pk=key).first()
    if row is None:
        raise Http404
    return row


def _once(request: DashboardRequest, make: Callable[[], api_keys.NewKey]) -> api_keys.NewKey | None:
    """The key that the form makes; None where the same form has made it before. Raises KeyRefused."""
    made: list[api_keys.NewKey] = []

    def change() -> str:
        made.append(make())
        return made[0].key.prefix

    token = request.POST.get(TOKEN, "")[:64]
    if token.isalnum():
        once(request.acting.account, f"form {token}", request.acting.now, change)
    else:
        change()
    return made[0] if made else None


def _shown_once(request: DashboardRequest, new: api_keys.NewKey) -> HttpResponseBase:
    context = {"new": new, "replaced": new.key.replaces, "call": first_call(request, new.text)}
    return render(request, "dashboard/key_created.html", context)
