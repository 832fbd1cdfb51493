"""Endpoints of webhooks: listed, made, changed, rotated, pinged, deleted; their deliveries, sent again one or all.

A secret stands in the answer to the form that made it and nowhere else, as a key does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.contrib import messages
from django.http import Http404, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from billing.http.idempotency import once
from billing.members.rights import Right
from billing.models import WebhookDelivery, WebhookEndpoint
from billing.webhooks import endpoints
from billing.webhooks.endpoints import NewEndpoint
from billing_site.dashboard.access import DashboardRequest, dashboard_page
from billing_site.dashboard.forms import TOKEN, back_to, saying_why_not
from billing_site.dashboard.webhooks.errors import why
from billing_site.dashboard.webhooks.forms import EndpointForm

LIST: Final = "dashboard-webhooks"
ONE: Final = "dashboard-webhook"
DELIVERIES_SHOWN: Final = 50


@dashboard_page(Right.DEVELOP)
def show(request: DashboardRequest) -> HttpResponseBase:
    """The account's endpoints and the form for another one; its answer is the only page that shows the secret."""
    acting = request.acting
    form = EndpointForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        with saying_why_not(request):
            new = _once(request, lambda: endpoints.create(acting.account, given["url"], given["types"], acting.now))
            if new is not None:
                return _shown_once(request, new)
            messages.warning(
                request, _("That was made before, and its secret is shown only once. If you do not have it, rotate it.")
            )
        return back_to(LIST)
    rows = list(endpoints.endpoints_of(acting.account))
    context = {"form": form, "endpoints": rows, "is_full": len(rows) >= endpoints.MOST, "most": endpoints.MOST}
    return render(request, "dashboard/webhooks/list.html", context)


@dashboard_page(Right.DEVELOP)
def one(request: DashboardRequest, endpoint: int) -> HttpResponseBase:
    """The endpoint with its deliveries, newest first; those before `before` where that is given."""
    row = _own(request, endpoint)
    rows = endpoints.deliveries_of(row)
    before = request.GET.get("before", "")
    if before.isascii() and before.isdigit() and len(before) < 19:
        rows = rows.filter(pk__lt=int(before))
    shown = list(rows[: DELIVERIES_SHOWN + 1])
    context = {
        "endpoint": row,
        "deliveries": [(each, why(each)) for each in shown[:DELIVERIES_SHOWN]],
        "older": shown[DELIVERIES_SHOWN - 1].pk if len(shown) > DELIVERIES_SHOWN else None,
        "dead": endpoints.deliveries_of(row).dead().count(),
        "overlaps": row.previous_until is not None and row.previous_until > request.acting.now,
    }
    return render(request, "dashboard/webhooks/one.html", context)


@dashboard_page(Right.DEVELOP)
def edit(request: DashboardRequest, endpoint: int) -> HttpResponseBase:
    row, acting = _own(request, endpoint), request.acting
    form = EndpointForm(request.POST or None, initial={"url": row.url, "types": row.types})
    if request.method == "POST" and form.is_valid():
        endpoints.change(acting.account, row.pk, acting.now, form.cleaned_data)
        messages.success(request, _("Saved."))
        return _back(row)
    return render(request, "dashboard/webhooks/edit.html", {"endpoint": row, "form": form})


@dashboard_page(Right.DEVELOP)
def rotate(request: DashboardRequest, endpoint: int) -> HttpResponseBase:
    row, acting = _own(request, endpoint), request.acting
    if request.method == "POST":
        new = _once(request, lambda: endpoints.rotate(acting.account, row.pk, acting.now))
        if new is not None:
            return _shown_once(request, new)
        messages.warning(request, _("The secret was rotated before, and is shown only once. If need be, do it again."))
        return _back(row)
    return render(request, "dashboard/webhooks/rotate.html", {"endpoint": row})


@dashboard_page(Right.DEVELOP)
def delete(request: DashboardRequest, endpoint: int) -> HttpResponseBase:
    row = _own(request, endpoint)
    if request.method == "POST":
        endpoints.delete(request.acting.account, row.pk)
        messages.success(request, _("The webhook is deleted."))
        return back_to(LIST)
    return render(request, "dashboard/webhooks/delete.html", {"endpoint": row})


@require_POST
@dashboard_page(Right.DEVELOP)
def switch(request: DashboardRequest, endpoint: int) -> HttpResponseBase:
    row, acting = _own(request, endpoint), request.acting
    is_on = request.POST.get("enabled") == "yes"
    endpoints.change(acting.account, row.pk, acting.now, {"enabled": is_on})
    messages.success(request, _("The webhook is enabled.") if is_on else _("The webhook is disabled."))
    return _back(row)


@require_POST
@dashboard_page(Right.DEVELOP)
def ping(request: DashboardRequest, endpoint: int) -> HttpResponseBase:
    row, acting = _own(request, endpoint), request.acting
    with saying_why_not(request):
        endpoints.ping(acting.account, row.pk, acting.now)
        messages.success(request, _("A ping is being sent. Load the page again to see what comes of it."))
    return _back(row)


@require_POST
@dashboard_page(Right.DEVELOP)
def send_again(request: DashboardRequest, endpoint: int, delivery: int) -> HttpResponseBase:
    row, acting = _own(request, endpoint), request.acting
    with saying_why_not(request):
        try:
            endpoints.send_again(acting.account, row.pk, delivery, acting.now)
        except WebhookDelivery.DoesNotExist:
            raise Http404 from None
        messages.success(request, _("The message is being sent again."))
    return _back(row)


@require_POST
@dashboard_page(Right.DEVELOP)
def send_all_again(request: DashboardRequest, endpoint: int) -> HttpResponseBase:
    row, acting = _own(request, endpoint), request.acting
    with saying_why_not(request):
        count = endpoints.send_all_again(acting.account, row.pk, acting.now)
        told = ngettext("%(count)s message is being sent again.", "%(count)s messages are being sent again.", count)
        messages.success(request, told % {"count": count})
    return _back(row)


def _own(request: DashboardRequest, endpoint: int) -> WebhookEndpoint:
    row: WebhookEndpoint | None = endpoints.endpoints_of(request.acting.account).filter(pk=endpoint).first()
    if row is None:
        raise Http404
    return row


def _back(row: WebhookEndpoint) -> HttpResponseRedirect:
    answer: HttpResponseRedirect = redirect(ONE, row.pk)
    return answer


def _once(request: DashboardRequest, make: Callable[[], NewEndpoint]) -> NewEndpoint | None:
    """What the form makes; None where the same form has made it before. Raises EndpointRefused."""
    made: list[NewEndpoint] = []

    def change() -> str:
        made.append(make())
        return str(made[0].endpoint.pk)

    token = request.POST.get(TOKEN, "")[:64]
    if token.isalnum():
        once(request.acting.account, f"form {token}", request.acting.now, change)
    else:
        change()
    return made[0] if made else None


def _shown_once(request: DashboardRequest, new: NewEndpoint) -> HttpResponseBase:
    return render(request, "dashboard/webhooks/secret.html", {"endpoint": new.endpoint, "secret": new.secret})
