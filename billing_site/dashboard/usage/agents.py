"""What agents hold, what their runs cost, and which of their calls went wrong."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.http.fields import rfc3339
from billing_site.dashboard.access import DashboardRequest, dashboard_page
from usage.metering.reservations.standing import expiries
from usage.models import Reservation
from usage.reports.reservations import PAST, Place, lost, open_reservations, runs

AGENTS: Final = "dashboard-agents"
OPEN_A_PAGE: Final = 25
LOST_SHOWN: Final = 10
NEW: Final = timedelta(minutes=1)


@dashboard_page()
def show(request: DashboardRequest) -> HttpResponseBase:
    account, now = request.acting.account, timezone.now()
    since = now - PAST
    try:
        after = _place(request.GET["after"]) if "after" in request.GET else None
    except ValueError:
        messages.info(request, _("That page is not there any more. This is the first."))
        return redirect(AGENTS)
    page = Paginator(open_reservations(account), OPEN_A_PAGE).get_page(request.GET.get("page"))
    found, gone_wrong = runs(account, since, after), [*lost(account, since)[:LOST_SHOWN]]
    context = {
        "page": page,
        "open": _shown([*page], now),
        "runs": found.runs,
        "older": f"{rfc3339(found.rest.opened_at)},{found.rest.id}" if found.rest else "",
        "is_later_page": after is not None,
        "lost": gone_wrong,
        "has_expired": any(row.state == Reservation.State.EXPIRED for row in gone_wrong),
        "has_uncollected": any(row.uncollected for row in gone_wrong),
        "has_any": bool(page.paginator.count or found.runs or found.rest or gone_wrong or after)
        or Reservation.objects.filter(account=account, opened_at__gte=since).exists(),
    }
    return render(request, "dashboard/agents.html", context)


def _shown(rows: list[Reservation], now: datetime) -> list[dict[str, Any]]:
    """With when each ends by itself."""
    ends = expiries(rows)
    return [
        {"row": row, "expires_at": ends[row.pk], "is_due": ends[row.pk] <= now, "is_new": now - row.opened_at < NEW}
        for row in rows
    ]


def _place(given: Any) -> Place:
    """Raises ValueError for what no page has led to."""
    at, _comma, pk = given.partition(",")
    place = Place(datetime.fromisoformat(at), UUID(pk))
    if place.opened_at.tzinfo is None:
        raise ValueError("no instant")
    return place
