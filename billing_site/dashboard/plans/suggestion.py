"""What the customer had better do before the window ends: a part of a page, which loads it by itself."""

from __future__ import annotations

from django.http.response import HttpResponseBase
from django.shortcuts import render

from billing.members.rights import Right
from billing_site.dashboard.access import DashboardRequest, dashboard_page
from usage.api.sentences import reason_of
from usage.metering import admit
from usage.metering.admit import Unavailable
from usage.reports.suggestion import suggestion


@dashboard_page()
def show(request: DashboardRequest) -> HttpResponseBase:
    """Nothing where the plan suffices, or nobody can tell at the moment: the page is whole without it."""
    acting = request.acting
    try:
        admission = admit.standing(acting.account, acting.now)
        found = suggestion(admission.snapshot, admission.quota.used, acting.now)
    except Unavailable:
        found = None
    may_bill = Right.BILL in acting.rights
    shown = {"suggestion": found, "reason": reason_of(found) if found else "", "may_bill": may_bill}
    return render(request, "dashboard/suggestion.html", shown)
