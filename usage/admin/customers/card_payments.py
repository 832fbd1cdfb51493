"""What the customer's page says of charges by card: the last tries, what comes next, and what is past due."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.http import HttpRequest

from billing.admin.invoicing.documents import amount_of
from billing.models import PastDue, PaymentAttempt
from billing.rules.payments.past_due import paused_from
from billing.users import User
from usage.admin.customers.sections import Section, instant, link, list_url

SHOWN = 10


def attempts(request: HttpRequest, user: User, now: datetime) -> Section | None:
    """None where no card was ever charged."""
    found = PaymentAttempt.objects.filter(account=user).select_related("invoice", "method")[:SHOWN]
    rows = [
        [
            link(row, instant(row.created_at)),
            amount_of(row.amount, row.currency),
            str(row.invoice),
            str(row.get_state_display()),
            row.decline_code or "–",
            instant(row.next_try_at, "–"),
        ]
        for row in found
    ]
    headers = ["Begun (UTC)", "Amount", "Invoice", "State", "Declined", "Next try (UTC)"]
    if not rows:
        return None
    return Section("Charges by card", headers, rows, "", list_url(PaymentAttempt, user), is_wide=True)


def warning(account: int, now: datetime) -> str:
    """That something is past due, and what it leads to; "" where nothing is."""
    since = PastDue.objects.since([account]).get(account)
    pauses_at = paused_from(since, settings.PAST_DUE_GRACE_DAYS)
    if since is None or pauses_at is None:
        return ""
    then = (
        "The default plan is served since" if pauses_at <= now else "Unless it is paid, the default plan is served from"
    )
    return (
        f"Past due since {since:%Y-%m-%d}: no card is charged again by itself. {then} {pauses_at:%Y-%m-%d %H:%M} UTC."
    )
