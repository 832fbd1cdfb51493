"""The first page: what is used, what is due, what changes next. Looking costs no request of the minute."""

from __future__ import annotations

from typing import Any

from django.db import InterfaceError, OperationalError
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.formats import date_format

from billing.models import Invoice
from billing.rules.entitlements.forecast import DayUsage, forecast
from billing_site.dashboard.access import DashboardRequest, dashboard_page
from billing_site.dashboard.plans.pages import following_amount, present
from ratelimit.limits import Standing
from usage.metering import admit
from usage.metering.admission import Admission
from usage.metering.admit import Unavailable
from usage.metering.quota import of_included, overage_of
from usage.reports.forecast import forecast_from
from usage.reports.history import HistoryEntry
from usage.reports.two_windows import TwoWindows, two_windows


@dashboard_page()
def show(request: DashboardRequest) -> HttpResponseBase:
    admission, current = _admission(request), present(request)
    windows = _windows(request, admission)
    context: dict[str, Any] = {
        "current": current,
        "next_amount": following_amount(current),
        "due": list(Invoice.objects.due().filter(account=request.acting.account)),
    }
    if admission is not None and windows is not None:
        pace = {day.date: DayUsage(day.tokens, day.calls) for day in windows.present}
        facts, plans = admission.snapshot.facts, admission.snapshot.catalogue.plans
        context["forecast"] = forecast(facts, plans, admission.quota.used, pace, request.acting.now)
    return render(request, "dashboard/overview.html", context | _standing(admission) | _days(windows, admission))


@dashboard_page()
def standing(request: DashboardRequest) -> HttpResponseBase:
    """The part of the page that is drawn again every few seconds."""
    admission, context = _admission(request), dict[str, Any]()
    if admission is not None:
        context["forecast"] = forecast_from(admission.snapshot, admission.quota.used, request.acting.now)
    return render(request, "dashboard/standing.html", context | _standing(admission))


@dashboard_page()
def days(request: DashboardRequest) -> HttpResponseBase:
    """The chart's numbers, drawn again every minute."""
    admission = _admission(request)
    return render(request, "dashboard/days.html", _days(_windows(request, admission), admission))


def _admission(request: DashboardRequest) -> Admission | None:
    """Where the account stands; None where nobody can tell at this moment."""
    try:
        return admit.standing(request.acting.account, request.acting.now)
    except (Unavailable, OperationalError, InterfaceError):
        return None


def _standing(admission: Admission | None) -> dict[str, Any]:
    if admission is None:
        return {}
    entitlement, quota = admission.snapshot.entitlement, admission.quota
    included, overage = of_included(entitlement, quota), overage_of(entitlement, quota)
    return {
        "entitlement": entitlement,
        "quota": included,
        "quota_bar": _bar(included, quota.limit.maximum),
        "overage": overage,
        "overage_bar": _share(overage.tokens, quota.limit.maximum) if overage else "0",
        "minute": admission.minute,
        "minute_bar": _bar(admission.minute, admission.minute.limit.maximum) if admission.minute else "0",
        "as_of": admission.decided_at,
    }


def _bar(standing: Standing, maximum: int | None) -> str:
    """How much of a bar is full that ends at the maximum; what is used above the standing's limit left out."""
    used, limit = standing.used, standing.limit.maximum
    return _share(used if limit is None else min(used, limit), maximum)


def _share(part: int, of: int | None) -> str:
    """Per cent, as an attribute has it in every language."""
    return "0" if of is None else str(min(round(100 * part / of, 1), 100) if of else 100)


def _windows(request: DashboardRequest, admission: Admission | None) -> TwoWindows | None:
    if admission is None:
        return None
    return two_windows(request.acting.account, admission.snapshot.entitlement.window, request.acting.now)


def _days(windows: TwoWindows | None, admission: Admission | None) -> dict[str, Any]:
    if windows is None or admission is None:
        return {}
    entries, features = [*windows.before, *windows.present], windows.features
    chart = {
        "labels": [date_format(entry.date, "MONTH_DAY_FORMAT") for entry in entries],
        "present": len(windows.before),
        "series": [
            {"label": feature, "data": [entry.features.get(feature, 0) for entry in entries]} for feature in features
        ],
    }
    tables = [_table(windows.present, features), _table(windows.before, features)]
    is_late = not features and admission.quota.used > 0
    return {"features": features, "chart": chart, "tables": tables, "is_late": is_late}


def _table(entries: list[HistoryEntry], features: list[str]) -> dict[str, Any]:
    """Days on which something was used, the newest first, and their sum."""
    used = [entry for entry in reversed(entries) if entry.tokens or entry.features]
    return {
        "days": [(day.date, [day.features.get(name, 0) for name in features], day.tokens) for day in used],
        "sums": [sum(day.features.get(name, 0) for day in used) for name in features],
        "total": sum(day.tokens for day in used),
    }
