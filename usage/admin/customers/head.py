"""What the customer's page says first: who it is, what was sold, what is due, what changes next, and usage by day."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import HttpRequest

from billing.admin.invoicing.documents import amount_of, redemption_link
from billing.admin.money.accounts import balances_of
from billing.models import Erasure, Invoice, Subscription
from billing.rules.money import in_currency
from billing.subscriptions.current import CurrentSubscription, current_subscription
from billing.subscriptions.refusals import NoSubscription
from billing.users import User
from usage.admin.customers import card_payments
from usage.reports.history import DAY, HistoryEntry, history

NOTES = 10
DAYS = 30
COLOURS = ("#7c3aed", "#0891b2", "#d97706", "#db2777", "#4d7c0f", "#2563eb", "#b91c1c", "#64748b")
"""Of features in the chart, each as far from its neighbours as can be."""
TEXT = {"color": "#9ca3af"}
OPTIONS = json.dumps(
    {
        "animation": False,
        "maintainAspectRatio": False,
        "maxBarThickness": 22,
        "scales": {
            "x": {"stacked": True, "grid": {"display": False}, "ticks": TEXT},
            "y": {
                "stacked": True,
                "beginAtZero": True,
                "ticks": {**TEXT, "precision": 0, "maxTicksLimit": 5},
                "grid": {},
            },
        },
        "plugins": {"legend": {"position": "bottom", "align": "start", "labels": {**TEXT, "boxWidth": 10}}},
    }
)


@dataclass(slots=True)
class Head:
    user: User
    is_erased: bool = False
    live: Subscription | None = None
    pays: bool = False
    """Its plan is changed, and no other is started in its place."""
    status: str = "no subscription"
    facts: list[tuple[str, Any]] = field(default_factory=list)
    """What was sold and is due, each under its name."""
    warnings: list[str] = field(default_factory=list)
    days: list[HistoryEntry] = field(default_factory=list)
    chart: str = ""
    """As Chart.js takes it; "" where nothing was used."""
    options: str = ""

    @property
    def is_customer(self) -> bool:
        return not (self.user.is_staff or self.user.is_superuser)


def read(request: HttpRequest, user: User, now: datetime) -> Head:
    """As far as the person at the page may look."""
    finished = list(Erasure.objects.filter(account=user).values_list("finished_at", flat=True))
    head = Head(user, is_erased=bool(finished))
    if None in finished:
        head.warnings.append("The personal data are being erased. What is left of it is done within minutes.")
    elif head.is_erased:
        head.warnings.append("The personal data were erased. The ledger is kept.")
    elif not user.is_active:
        head.warnings.append("Deactivated: calls and log-ins are refused, and the subscription ends with its period.")
    if request.user.has_perm("billing.view_subscription"):
        _add_subscription(head, now)
    if request.user.has_perm("billing.view_invoice"):
        head.facts += [("Due", _due(user)), ("Balance", _balance(user))]
        if past_due := card_payments.warning(user.pk, now):
            head.warnings.append(past_due)
    if request.user.has_perm("usage.view_usagelog"):
        _add_usage(head, now)
    return head


def _add_subscription(head: Head, now: datetime) -> None:
    # Looked for first: to ask for the current one of an account that has none would open it.
    if not Subscription.objects.live().filter(account=head.user).exists():
        return
    try:
        current = current_subscription(head.user.pk, now)
    except NoSubscription:
        return
    head.live = live = current.subscription if current.subscription.pk else None
    period = current.period
    head.pays = period.is_trial or period.price > 0
    head.status = _status(current)
    price = amount_of(period.net_price, period.currency)
    own = f", at most {amount_of(live.kept_price, period.currency)}" if live and live.kept_price is not None else ""
    head.facts += [
        ("Plan", period.title),
        ("Price", f"{price} / {current.plan.interval}{own}"),
        ("Period ends", f"{period.ends_at:%Y-%m-%d %H:%M} UTC"),
        ("What follows", _follows(current)),
        ("Next invoice", amount_of(current.next_invoice_amount, period.currency)),
    ]
    if current.redemption is not None and current.redemption.is_active:
        head.facts.append(("Coupon", redemption_link(current.redemption)))
    if live is not None and live.parked_at is not None:
        since = f"{live.parked_at:%Y-%m-%d %H:%M}"
        head.warnings.append(
            f"Parked since {since} UTC: {live.parked_because}. Nothing is billed until it is released."
        )


def _status(current: CurrentSubscription) -> str:
    if current.subscription.is_parked:
        return "parked"
    if current.cancel_at:
        return "ending"
    return "trial" if current.period.is_trial else "active"


def _follows(current: CurrentSubscription) -> str:
    if current.cancel_at:
        then = f", then {current.then}" if current.then else ""
        return f"ends {current.cancel_at:%Y-%m-%d}{then}"
    if current.scheduled_plan and current.scheduled_at:
        return f"{current.scheduled_plan} from {current.scheduled_at:%Y-%m-%d}"
    return f"renews on {current.then}" if current.then else "nothing"


def _balance(user: User) -> str:
    """In each currency; below 0 where the customer owes it."""
    shown = [amount_of(amount, currency) for currency, amount in balances_of(user).items() if amount]
    return ", ".join(shown) or "nothing"


def _due(user: User) -> str:
    """By currency: what is open, and how much of it should have been paid by now."""
    sums: dict[str, Any] = {}
    for invoice in Invoice.objects.due().filter(account=user).only("status", "total", "settled", "currency"):
        sums[invoice.currency] = sums.get(invoice.currency, 0) + in_currency(invoice.due, invoice.currency)
    return ", ".join(amount_of(amount, currency) for currency, amount in sums.items()) or "nothing"


def _add_usage(head: Head, now: datetime) -> None:
    today = now.astimezone(UTC).date()
    head.days = history(head.user.pk, today - timedelta(days=DAYS - 1), today, DAY)
    features = sorted({feature for day in head.days for feature in day.features})
    if not features:
        return
    sets = [
        {
            "label": feature,
            "data": [day.features.get(feature, 0) for day in head.days],
            "backgroundColor": COLOURS[place % len(COLOURS)],
        }
        for place, feature in enumerate(features)
    ]
    head.options = OPTIONS
    head.chart = json.dumps({"labels": [f"{day.date:%m-%d}" for day in head.days], "datasets": sets})
