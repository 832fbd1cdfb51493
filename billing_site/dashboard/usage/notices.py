"""At which parts of the quota the account is told, and the link in a notice that ends them."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.entitlements import snapshots
from billing.mails import unsubscribing
from billing.members.rights import Right
from billing.models import NoticeThreshold, Preferences
from billing.models.catalogue.notices import MOST_OWN
from billing.rules.instants import to_ms
from billing_site.dashboard.access import DashboardRequest, dashboard_page
from usage.models import ThresholdCrossed
from usage.thresholds import own
from usage.thresholds.rule import Watched

SHOWN = 10
"""Notices that were sent."""


class ThresholdForm(forms.Form):
    percent = forms.IntegerField(
        label=gettext_lazy("Tell me at so many percent"), min_value=1, max_value=100, widget=forms.NumberInput
    )


@dashboard_page()
def show(request: DashboardRequest) -> HttpResponseBase:
    return _page(request, ThresholdForm())


@require_POST
@dashboard_page(needs=Right.BILL)
def add(request: DashboardRequest) -> HttpResponseBase:
    form = ThresholdForm(request.POST)
    if not form.is_valid():
        return _page(request, form, status=400)
    try:
        own.add(request.acting.account, form.cleaned_data["percent"], request.acting.now)
    except own.TooMany:
        form.add_error(None, _("There are %(most)d of your own already. Remove one first.") % {"most": MOST_OWN})
        return _page(request, form, status=400)
    messages.success(request, _("You are told at %(percent)d %%, too.") % form.cleaned_data)
    return redirect("dashboard-notices")


@require_POST
@dashboard_page(needs=Right.BILL)
def remove(request: DashboardRequest, threshold: int) -> HttpResponseBase:
    if not own.remove(request.acting.account, threshold):
        raise Http404
    messages.success(request, _("Removed."))
    return redirect("dashboard-notices")


def _page(request: DashboardRequest, form: ThresholdForm, status: int = 200) -> HttpResponseBase:
    acting = request.acting
    may = snapshots.snapshot(acting.account, to_ms(acting.now)).entitlement
    rows = NoticeThreshold.objects.filter(plan__code=may.plan.code).union(
        NoticeThreshold.objects.filter(account=acting.account)
    )
    told = ThresholdCrossed.objects.filter(account=acting.account)[:SHOWN]
    thresholds = [
        (row, Watched("", may.included, ()).reached_from(row.percent) if may.included else None)
        for row in sorted(rows, key=lambda row: (row.percent, row.account_id is not None))
    ]
    context = {
        "form": form,
        "thresholds": thresholds,
        "told": told,
        "plan": may.plan.name,
        "is_unlimited": may.included is None,
        "may_edit": Right.BILL in acting.rights,
        "wants_notices": Preferences.of(acting.account).notices,
        "is_own": acting.user.pk == acting.account,
        "owner": acting.owner,
    }
    return render(request, "dashboard/notices.html", context, status=status)


@csrf_exempt
@never_cache
def unsubscribe(request: HttpRequest, token: str) -> HttpResponseBase:
    """For who holds a link that was mailed, without a log-in: GET asks, as mail scanners follow links; POST acts.

    A mail program posts it by itself (RFC 8058). The token stands for the CSRF token: no other site knows it.
    """
    reader = unsubscribing.reader_of(token)
    if reader is None:
        return render(request, "dashboard/unsubscribe.html", {"state": "unknown"}, status=404)
    with translation.override(Preferences.of(reader.pk).language or translation.get_language()):
        if request.method != "POST":
            return render(request, "dashboard/unsubscribe.html", {"state": "asked"})
        wanted = "again" in request.POST
        unsubscribing.set_notices(reader.pk, wanted=wanted)
        return render(request, "dashboard/unsubscribe.html", {"state": "on" if wanted else "off"})
