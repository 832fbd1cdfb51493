"""The first page: what is used, what is due, what changes next."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from django.shortcuts import render

from billing.subscriptions.current import current_subscription
from billing.subscriptions.refusals import NoSubscription
from billing_site.dashboard.access import DashboardRequest, dashboard_page


@dashboard_page()
def show(request: DashboardRequest) -> HttpResponseBase:
    acting = request.acting
    try:
        current = current_subscription(acting.account, acting.now)
    except NoSubscription:
        current = None
    return render(request, "dashboard/overview.html", {"current": current})
