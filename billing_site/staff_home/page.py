"""`/admin/`: the figures that the person may see, each leading to the list behind it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from billing import users
from billing.admin.invoicing.documents import amount_of
from billing.http.fields import rfc3339
from billing.reports.month import Amounts
from billing.reports.recurring import by_currency
from billing.rules.money import round_money
from billing_site.staff_home import figures, operations
from billing_site.staff_home.figures import Figures
from usage.reports.present import MOST_NEAR, NEAR_PERCENT, Used


class Number(NamedTuple):
    """One figure. `tone` is "bad" where somebody has to act, "good" where all is well, or ""."""

    label: str
    value: str
    url: str = ""
    about: str = ""
    tone: str = ""


def home(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's callback: what its page of the index is drawn with."""
    now, may = timezone.now(), request.user.has_perm
    if not (may("billing.view_subscription") or may("billing.view_invoice") or may("usage.view_usagelog")):
        return context
    shown = figures.figures(now)
    groups: list[tuple[str, list[Number]]] = []
    if may("billing.view_invoice"):
        groups.append(("Money", _money(shown, recurring=may("billing.view_subscription"))))
    if may("billing.view_subscription"):
        groups.append(("To look at", _to_look_at(shown)))
        groups.append(("Ahead", _ahead(shown)))
        context["plans"] = _plans(shown)
    if may("usage.view_reservation"):
        groups.append(("Agents", _agents(shown)))
    if may("usage.view_usagelog"):
        groups.append(("Machinery", _machinery(request, operations.read(now), now)))
        if may(users.right("view")):
            context["used"] = [
                ("Near the quota", _accounts(shown, shown.nearest), f"Nobody has used {NEAR_PERCENT} of the quota."),
                ("Most tokens of the present window", _accounts(shown, shown.top), "Nobody has used any."),
            ]
    return context | {"groups": groups, "read_at": shown.read_at}


def _list(model: str, **query: Any) -> str:
    shown = {name: rfc3339(value) if isinstance(value, datetime) else value for name, value in query.items()}
    return f"{reverse(f'admin:{model}_changelist')}?{urlencode(shown)}"


def _amounts(amounts: Amounts) -> str:
    return ", ".join(amount_of(amount, currency) for currency, amount in amounts.items()) or "0"


def _money(shown: Figures, *, recurring: bool) -> list[Number]:
    month, since = shown.month, {"issued_at__gte": shown.month.starts_at, "status__in": "open,paid"}
    paying = sum(share.paying for share in shown.shares)
    mrr = Number(
        "Recurring revenue a month",
        _amounts(by_currency(shown.shares)),
        _list("billing_subscription", paying="yes"),
        f"{paying:,} paying, net of discounts",
    )
    overdue = f"{month.overdue_invoices:,} overdue: {_amounts(month.overdue)}" if month.overdue_invoices else ""
    return [
        *([mrr] if recurring else []),
        Number("Billed this month", _amounts(month.billed), _list("billing_invoice", **since), "with tax"),
        Number("Paid this month", _amounts(month.paid), _list("billing_payment", paid_at__gte=month.starts_at)),
        Number(
            f"Due on {month.open_invoices:,} invoice{'' if month.open_invoices == 1 else 's'}",
            _amounts(month.due),
            _list("billing_invoice", status__exact="open"),
            overdue,
        ),
    ]


def _to_look_at(shown: Figures) -> list[Number]:
    ahead, active = shown.ahead, {"status__exact": "active"}
    late = {**active, "parked_at__isnull": "True", "period_ends_at__lte": ahead.late_before}
    return [
        _bad("Failed closes", ahead.late, _list("billing_subscription", **late), "periods ended, and not renewed"),
        _bad("Parked", ahead.parked, _list("billing_subscription", parked="yes"), "nothing is billed until released"),
        Number(
            "Near the quota",
            f"{shown.near:,}{' or more' if shown.near >= MOST_NEAR else ''}",
            _list(users.label(), quota="near"),
            f"{NEAR_PERCENT} or more of the window's tokens",
        ),
        _bad(
            "Overdue invoices",
            shown.month.overdue_invoices,
            _list("billing_invoice", status__exact="open", due_at__lt=shown.read_at),
        ),
        _bad(
            "Unplaced money",
            shown.unplaced,
            _list("billing_moneyin", placed="no"),
            "on balances that no invoice is going to use",
        ),
    ]


def _bad(label: str, count: int, url: str, about: str = "") -> Number:
    return Number(label, f"{count:,}", url, about, "bad" if count else "good")


def _ahead(shown: Figures) -> list[Number]:
    ahead, active = shown.ahead, {"status__exact": "active"}
    due = {**active, "parked_at__isnull": "True", "period_ends_at__gt": ahead.late_before}

    def number(label: str, count: int, query: dict[str, Any], about: str = "") -> Number:
        return Number(label, f"{count:,}", _list("billing_subscription", **query), about)

    trials = f"{ahead.trials_week:,} of them trials that end"
    return [
        number("Renewals today", ahead.renewals_today, {**due, "period_ends_at__lt": ahead.today_ends}),
        number("Renewals in 7 days", ahead.renewals_week, {**due, "period_ends_at__lte": ahead.week_ends}, trials),
        number("Changes of plan today", ahead.changes_today, {**active, "scheduled_at__lt": ahead.today_ends}),
        number("Changes in 7 days", ahead.changes_week, {**active, "scheduled_at__lte": ahead.week_ends}),
        number("Ending in 7 days", ahead.ending_week, {**active, "cancel_at__lte": ahead.week_ends}, "canceled"),
    ]


def _agents(shown: Figures) -> list[Number]:
    found = shown.reservations
    expired = {"state": "expired", "finished_at__from": found.today.date()}
    uncollected = {"uncollected": "yes", "finished_at__from": found.month.date()}
    return [
        Number("Open reservations", f"{found.open:,}", _list("usage_reservation", state="open")),
        _bad("Expired today", found.expired_today, _list("usage_reservation", **expired), "agents that never settled"),
        Number(
            "Uncollected this month",
            f"{found.uncollected:,}",
            _list("usage_reservation", **uncollected),
            "tokens above what was reserved and left",
        ),
    ]


def _machinery(request: HttpRequest, found: operations.Operations, now: datetime) -> list[Number]:
    wrong = "" if found.redis == "ok" else f"Redis is {found.redis}"
    state = wrong or ("an outage goes on" if found.outage else "all well")
    outages = _list("usage_redisoutage") if request.user.has_perm("usage.view_redisoutage") else ""
    lag = "Redis does not answer" if found.backlog is None else f"{found.lag_seconds:,.0f} s"
    waiting = "" if found.backlog is None else f"{found.backlog:,} event{'' if found.backlog == 1 else 's'} wait"
    beat = "not known" if found.beat_at is None else f"{max((now - found.beat_at).total_seconds(), 0):,.0f} s ago"
    numbers = [
        Number("Engines", state, outages, "", "bad" if wrong or found.outage else "good"),
        Number("Drain's lag", lag, "", waiting, "bad" if found.drain_is_late or found.backlog is None else "good"),
        Number("Last beat", beat, "", "", "bad" if found.beat_is_late else "good"),
    ]
    if request.user.has_perm("usage.view_setasideentry"):
        numbers.append(_bad("Set-aside entries", found.set_aside, _list("usage_setasideentry")))
    if request.user.has_perm("billing.view_outboxcursor"):
        failing = _list("billing_outboxcursor", state="failing")
        numbers.append(_bad("Failing deliveries", found.failing, failing, "accounts whose messages wait"))
    if request.user.has_perm("billing.view_webhookendpoint"):
        stopped = _list("billing_webhookendpoint", state="stopped")
        numbers.append(_bad("Webhooks stopped", found.webhooks_stopped, stopped, "by their answers"))
    return numbers


def _plans(shown: Figures) -> list[dict[str, Any]]:
    everybody = sum(share.subscribers for share in shown.shares) or 1
    return [
        {
            "name": share.name,
            "subscribers": share.subscribers,
            "percent": round(100 * share.subscribers / everybody),
            "monthly": amount_of(round_money(share.monthly, share.currency), share.currency),
            "url": _list("billing_subscription", plan__id__exact=share.plan, status__exact="active"),
        }
        for share in shown.shares
    ]


def _accounts(shown: Figures, accounts: list[Used]) -> list[dict[str, Any]]:
    return [
        {
            "name": shown.names.get(used.account, f"account {used.account}"),
            "url": reverse(users.page("change"), args=[used.account]),
            "tokens": used.tokens,
            "percent": used.percent if used.quota is not None else None,
        }
        for used in accounts
    ]
