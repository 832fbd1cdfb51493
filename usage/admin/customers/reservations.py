"""What agents hold of a customer's quota, on the customer's page."""

from __future__ import annotations

from datetime import datetime

from django.http import HttpRequest

from billing.users import User
from usage.admin.customers.sections import Section, instant, link, list_url
from usage.models import Reservation
from usage.reports.reservations import PAST, lost, open_reservations

SHOWN = 10
HEADERS = ["Opened (UTC)", "State", "Feature", "Model", "Run", "Held", "Charged", "Uncollected"]


def section(request: HttpRequest, user: User, now: datetime) -> Section:
    """Those that are open, then those that went wrong."""
    opened, wrong = open_reservations(user.pk)[:SHOWN], lost(user.pk, now - PAST)[:SHOWN]
    rows = [_row(row) for row in (*opened, *wrong)]
    about = "Open reservations, and those of 30 days that expired or left tokens uncollected"
    none = "None is open, and none went wrong in 30 days."
    return Section(about, HEADERS, rows, none, list_url(Reservation, user), is_wide=True)


def _row(row: Reservation) -> list[str]:
    charged, uncollected = (f"{tokens:,}" if tokens else "" for tokens in (row.charged, row.uncollected))
    about = [row.state, row.feature, row.model, row.run, f"{row.bound:,}"]
    return [link(row, instant(row.opened_at)), *about, charged, uncollected]
