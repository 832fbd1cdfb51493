"""The usage log: every charge and void, as a page and as a file, and how many calls were refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from django import forms
from django.contrib import messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from billing.http.csv_file import csv_file
from billing.models import ApiKey, Feature
from billing_site.dashboard.access import DashboardRequest, dashboard_page
from usage.api.report_views import LogPages
from usage.metering.refused_calls import OVERAGE_CAP
from usage.models import UsageLog
from usage.reports.logs import audit_events
from usage.reports.refusals import Refused, refusals

USAGE: Final = "dashboard-usage"
MOST_DAYS: Final = 366
BY_DEFAULT: Final = timedelta(days=29)
"""Before the last day, which is included."""
KINDS: Final = {
    UsageLog.Kind.CHARGE: gettext_lazy("Charge"),
    UsageLog.Kind.VOID: gettext_lazy("Taken back"),
    UsageLog.Kind.SETTLE: gettext_lazy("Settled"),
    UsageLog.Kind.EXTEND: gettext_lazy("Reserved more or less"),
    UsageLog.Kind.RESET: gettext_lazy("Quota given anew"),
}
REASONS: Final = {
    "quota_exceeded": gettext_lazy("The quota was used up"),
    OVERAGE_CAP: gettext_lazy("Your limit for tokens above the quota was reached"),
    "rate_limited": gettext_lazy("Too many requests in a minute"),
    "budget_exceeded": gettext_lazy("A budget of the key or of the run was used up"),
    "too_many_open": gettext_lazy("The run had too many open reservations"),
    "loop_detected": gettext_lazy("The same request came too often in a row"),
    "feature_not_in_plan": gettext_lazy("Not part of the plan"),
    "idempotency_conflict": gettext_lazy("The Idempotency-Key was used for another request"),
    "idempotency_in_progress": gettext_lazy("The first request under the Idempotency-Key was still running"),
    "idempotency_exhausted": gettext_lazy("The request under the Idempotency-Key had run too often"),
}
EARLIEST_YEAR: Final = 2000
READ_AT_ONCE: Final = 2_000
DAY: Final = forms.DateInput({"type": "date"}, format="%Y-%m-%d")


class Filters(forms.Form):
    """What of the log is shown. Dates are the person's, and both are included."""

    to = forms.DateField(label=gettext_lazy("To"), widget=DAY, input_formats=["%Y-%m-%d"])
    feature = forms.ChoiceField(label=gettext_lazy("Feature"), required=False)
    kind = forms.ChoiceField(label=gettext_lazy("Kind"), required=False)
    key = forms.ChoiceField(label=gettext_lazy("API key"), required=False)

    def __init__(self, given: QueryDict, account: int) -> None:
        last = given.get("to") or timezone.localdate().isoformat()
        values = {"to": last, "from": _days_before(last)} | {name: value for name, value in given.items() if value}
        super().__init__(values)
        # `from` is a keyword, so it cannot stand as an attribute.
        first = forms.DateField(label=gettext_lazy("From"), widget=DAY, input_formats=["%Y-%m-%d"])
        self.fields = {"from": first, **self.fields}
        keys = ApiKey.objects.filter(account=account).order_by("-created").values_list("prefix", "name")
        self._offer(
            "feature", [(code, code) for code in Feature.objects.order_by("code").values_list("code", flat=True)]
        )
        self._offer("kind", [*KINDS.items()])
        self._offer("key", [(prefix, f"{name} ({prefix}…)") for prefix, name in keys])

    def _offer(self, name: str, choices: list[tuple[Any, Any]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", gettext_lazy("All")), *choices]

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        first, last = given.get("from"), given.get("to")
        if first and last and first > last:
            self.add_error("from", _("This is after the last day."))
        elif first and last and (last - first).days >= MOST_DAYS:
            self.add_error("from", _("At most a year can be shown at once."))
        elif last and not EARLIEST_YEAR <= last.year <= timezone.localdate().year + 1:
            self.add_error("to", _("Nothing was or can be charged in that year."))
        return given

    def events(self, account: int) -> QuerySet[UsageLog]:
        """Only when valid."""
        of = self.cleaned_data
        return audit_events(
            account,
            of["feature"] or None,
            of["from"],
            of["to"],
            kind=of["kind"] or None,
            key_prefix=of["key"] or None,
            zone=timezone.get_current_timezone(),
        )

    def refused(self, account: int) -> list[Refused]:
        """On the UTC dates that the days touch."""
        zone, of = timezone.get_current_timezone(), self.cleaned_data
        first, last = (
            datetime.combine(of[name], at, zone).astimezone(UTC).date()
            for name, at in (("from", time.min), ("to", time.max))
        )
        found = refusals(account, first, last)
        return [each for each in found if each.feature == of["feature"]] if of["feature"] else found


def _days_before(last: str) -> str:
    try:
        return (date.fromisoformat(last) - BY_DEFAULT).isoformat()
    except (ValueError, OverflowError):
        return last


@dashboard_page()
def show(request: DashboardRequest) -> HttpResponseBase:
    account, form = request.acting.account, Filters(request.GET, request.acting.account)
    context: dict[str, Any] = {"form": form, "kinds": KINDS}
    if form.is_valid():
        try:
            events, newer, older = _page(form.events(account), request)
        except ValidationError:
            messages.info(request, _("That page of the log is not there any more. This is the first."))
            return redirect(USAGE)
        refused = [(each, REASONS.get(each.reason, each.reason)) for each in form.refused(account)]
        context |= {"events": events, "newer": newer, "older": older, "refused": refused}
        context["query"] = urlsplit(request.get_full_path()).query
    return render(request, "dashboard/usage.html", context, status=200 if form.is_valid() else 400)


def _page(events: QuerySet[UsageLog], request: HttpRequest) -> tuple[list[UsageLog], str, str]:
    """A page, and the queries of those beside it, "" of none. Raises ValidationError."""
    pages = LogPages()
    found = pages.paginate_queryset(events.defer("metadata"), Request(request))
    newer, older = (urlsplit(link or "").query for link in (pages.get_previous_link(), pages.get_next_link()))
    return found, newer, older


@dashboard_page()
def export(request: DashboardRequest) -> HttpResponseBase:
    """The rows of the page, all of them, as a CSV file. Times are in UTC, whoever reads it."""
    form = Filters(request.GET, request.acting.account)
    if not form.is_valid():
        return render(request, "dashboard/usage.html", {"form": form}, status=400)
    of = form.cleaned_data
    return csv_file(f"usage-{of['from']}-{of['to']}.csv", _rows(form.events(request.acting.account)))


HEADING: Final = ("charged_at", "recorded_at", "kind", "feature", "tokens", "source", "key", "event", "metadata")


def _rows(events: QuerySet[UsageLog]) -> Iterator[tuple[Any, ...]]:
    yield HEADING
    columns = ("charged_at", "created_at", "kind", "feature", "tokens", "source", "key_prefix", "event_id", "metadata")
    # Within a transaction the cursor gives the rows as it finds them; without one PostgreSQL collects them all first.
    with transaction.atomic():
        for charged, recorded, *others, event, metadata in (
            events.order_by("-charged_at", "-id").values_list(*columns).iterator(chunk_size=READ_AT_ONCE)
        ):
            told = "" if metadata is None else json.dumps(metadata, ensure_ascii=False)
            yield f"{charged:%Y-%m-%dT%H:%M:%S.%fZ}", f"{recorded:%Y-%m-%dT%H:%M:%S.%fZ}", *others, str(event), told
