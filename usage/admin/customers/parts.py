"""The parts of the customer's page that are fetched by themselves, so that none waits for the others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import OperationalError
from django.db.models import Model, Q
from django.http import HttpRequest
from django.utils.html import format_html_join

from billing.admin.base import unlimited
from billing.admin.invoicing.documents import amount_of
from billing.api.payments.money_said import where_it_lies
from billing.entitlements.callers import BadCredentials
from billing.models import (
    ApiKey,
    BillingDetails,
    CreditNote,
    Invoice,
    LimitOverride,
    Member,
    MoneyIn,
    OutboxMessage,
    Payment,
    PaymentAttempt,
    SentMail,
    Subscription,
    TokenTopUp,
)
from billing.users import User
from usage.admin.customers import card_payments, happened, reservations
from usage.admin.customers.sections import Section, add_link, instant, link, list_url, may_see
from usage.metering import admit
from usage.models import RefusedCalls, Reservation, UsageLog, UsageReset
from usage.reports.logs import audit_events
from usage.reports.refusals import refusals

SHOWN = 10
LOGGED = 20
REFUSED_DAYS = 30


class Part(NamedTuple):
    title: str
    shown: tuple[tuple[type[Model], Callable[[HttpRequest, User, datetime], Section | None]], ...]
    """Sections, each for who may see the rows of a model."""

    def is_seen(self, request: HttpRequest) -> bool:
        return any(may_see(request, model) for model, _ in self.shown)

    def sections(self, request: HttpRequest, user: User, now: datetime) -> list[Section]:
        seen = [section(request, user, now) for model, section in self.shown if may_see(request, model)]
        return [section for section in seen if section is not None]


def _standing(request: HttpRequest, user: User, now: datetime) -> Section | None:
    """As the gateway would judge the next call. It costs the customer nothing."""
    section = Section("Standing now", ["Limit", "Used", "Maximum", "Left", "Anew"], is_wide=True)
    if not user.is_active or not Subscription.objects.live().filter(account=user).exists():
        section.empty = "Nobody calls as this account."
        return section
    try:
        admission = admit.standing(user.pk, now)
    except (admit.Unavailable, OperationalError, BadCredentials):
        section.empty = "It cannot be told at the moment: Redis or PostgreSQL does not answer. Look again in a minute."
        return section
    quota, minute = admission.quota, admission.minute
    ends = admission.snapshot.entitlement.window.end
    section.rows = [["Tokens of the window", *_limit(quota), f"{ends:%Y-%m-%d %H:%M} UTC"]]
    if minute is not None:
        section.rows.append(["Requests per minute", *_limit(minute), "in any 60 seconds"])
    if not admission.by_redis:
        section.note = "PostgreSQL decides at the moment: Redis does not answer."
    return section


def _limit(standing: Any) -> list[str]:
    maximum = standing.limit.maximum
    left = "unlimited" if maximum is None else f"{max(maximum - standing.used, 0):,}"
    return [f"{standing.used:,}", unlimited(maximum), left]


def _log(request: HttpRequest, user: User, now: datetime) -> Section:
    rows = [
        [f"{row.charged_at:%Y-%m-%d %H:%M:%S}", row.feature, f"{row.tokens:,}", row.kind, row.source, row.key_prefix]
        for row in audit_events(user.pk).order_by("-charged_at", "-id")[:LOGGED]
    ]
    headers = ["Call (UTC)", "Feature", "Tokens", "Kind", "Source", "Key"]
    return Section("Usage log", headers, rows, "Nothing was called yet.", list_url(UsageLog, user), is_wide=True)


def _refusals(request: HttpRequest, user: User, now: datetime) -> Section:
    """Counted by day, feature and reason, since they are no rows of the log."""
    today = now.astimezone(UTC).date()
    found = refusals(user.pk, today - timedelta(days=REFUSED_DAYS - 1), today)[:LOGGED]
    rows = [[f"{row.date:%Y-%m-%d}", row.reason, row.feature or "none", f"{row.calls:,}"] for row in found]
    return Section(
        f"Refused calls, {REFUSED_DAYS} days", ["Day (UTC)", "Reason", "Feature", "Calls"], rows, "None.", is_wide=True
    )


def _resets(request: HttpRequest, user: User, now: datetime) -> Section:
    rows = [
        [link(row, instant(row.reset_at)), f"{row.tokens:,}", row.reason, row.reset_by]
        for row in UsageReset.objects.filter(account=user)[:SHOWN]
    ]
    add = add_link(request, UsageReset, user, "Reset usage")
    headers = ["Reset at (UTC)", "Tokens", "Reason", "By"]
    return Section("Usage resets", headers, rows, "None.", list_url(UsageReset, user), add, is_wide=True)


def _invoices(request: HttpRequest, user: User, now: datetime) -> Section:
    may_change = request.user.has_perm("billing.change_invoice")
    headers = ["Invoice", "Issued (UTC)", "Status", "Total", "Due", *(["Action"] if may_change else [])]
    rows = []
    for row in Invoice.objects.filter(account=user)[:SHOWN]:
        cells = [link(row), instant(row.issued_at), row.get_status_display()]
        cells += [amount_of(row.total, row.currency), amount_of(row.due, row.currency)]
        doing = [("Mark as paid", "pay")] if row.status == Invoice.Status.OPEN else []
        doing += [("Credit", "credit")] if row.is_billed and row.gross > 0 else []
        actions = format_html_join(" · ", "{}", ((link(row, label, page),) for label, page in doing))
        rows.append([*cells, *([actions] if may_change else [])])
    return Section("Invoices", headers, rows, "Nothing was billed yet.", list_url(Invoice, user), is_wide=True)


def _payments(request: HttpRequest, user: User, now: datetime) -> Section:
    paid = Payment.objects.filter(invoice__account=user).select_related("invoice").order_by("-paid_at", "-pk")
    rows = [
        [link(row, instant(row.paid_at)), amount_of(row.amount, row.invoice.currency), str(row.invoice), row.reference]
        for row in paid[:SHOWN]
    ]
    headers = ["Paid at (UTC)", "Amount", "Invoice", "Reference"]
    return Section("Payments", headers, rows, "None yet.", list_url(Payment, user, by="q"))


def _money_in(request: HttpRequest, user: User, now: datetime) -> Section:
    rows = [
        [link(row, instant(row.received_at)), amount_of(row.amount, row.currency), where_it_lies(row), row.reference]
        for row in MoneyIn.objects.filter(account=user)[:SHOWN]
    ]
    headers = ["Received at (UTC)", "Amount", "Where it lies", "Reference"]
    return Section("Money in", headers, rows, "None yet.", list_url(MoneyIn, user))


def _credit_notes(request: HttpRequest, user: User, now: datetime) -> Section:
    notes = CreditNote.objects.filter(account=user).select_related("invoice")[:SHOWN]
    rows = [
        [link(row), instant(row.issued_at), amount_of(row.amount, row.currency), str(row.invoice), row.reason]
        for row in notes
    ]
    headers = ["Credit note", "Issued (UTC)", "Amount", "Invoice", "Reason"]
    return Section("Credit notes", headers, rows, "None.", list_url(CreditNote, user))


def _subscriptions(request: HttpRequest, user: User, now: datetime) -> Section:
    rows = [
        [link(row, row.plan), row.get_status_display(), instant(row.created_at), instant(row.ended_at, "–")]
        for row in Subscription.objects.filter(account=user).select_related("plan").order_by("-pk")[:SHOWN]
    ]
    headers = ["Subscription", "Status", "Opened (UTC)", "Ended (UTC)"]
    return Section("Subscriptions", headers, rows, "None yet.", list_url(Subscription, user), is_wide=True)


def _keys(request: HttpRequest, user: User, now: datetime) -> Section:
    may_revoke = request.user.has_perm("billing.change_apikey")
    headers = ["Key", "Name", "Scope", "State", "Made (UTC)", "Expires (UTC)", *(["Action"] if may_revoke else [])]
    rows = []
    for key in ApiKey.objects.filter(account=user).order_by("revoked", "-created")[:SHOWN]:
        state = "revoked" if key.revoked else "expired" if key.has_expired else "valid"
        cells = [link(key, key.prefix), key.name, key.scope or "none", state, instant(key.created)]
        cells.append(instant(key.expiry_date, "never"))
        rows.append([*cells, *([link(key, "Revoke", "revoke") if not key.revoked else ""] if may_revoke else [])])
    add = add_link(request, ApiKey, user, "Add a key")
    return Section("API keys", headers, rows, "None.", list_url(ApiKey, user), add, is_wide=True)


def _overrides(request: HttpRequest, user: User, now: datetime) -> Section:
    rows = [
        [link(row, row.get_limit_display()), unlimited(row.maximum), instant(row.expires_at, "never"), row.reason]
        for row in LimitOverride.objects.filter(account=user)[:SHOWN]
    ]
    add = add_link(request, LimitOverride, user, "Override a limit")
    headers = ["Limit", "Maximum", "Expires (UTC)", "Reason"]
    return Section(
        "Limit overrides", headers, rows, "None: the plan's limits hold.", list_url(LimitOverride, user), add
    )


def _top_ups(request: HttpRequest, user: User, now: datetime) -> Section:
    rows = [
        [link(row, f"{row.tokens:,}"), instant(row.starts_at), instant(row.expires_at, "with the window"), row.reason]
        for row in TokenTopUp.objects.filter(account=user)[:SHOWN]
    ]
    add = add_link(request, TokenTopUp, user, "Add tokens")
    headers = ["Tokens", "From (UTC)", "Expires (UTC)", "Reason"]
    return Section("Token top-ups", headers, rows, "None.", list_url(TokenTopUp, user), add)


def _details(request: HttpRequest, user: User, now: datetime) -> Section:
    """As the next invoice names the customer."""
    rows = [
        [link(row, row.name), f"{row.postcode} {row.city}".strip() or "–", row.country, row.vat_id or "–"]
        for row in BillingDetails.objects.filter(account=user)
    ]
    add = None if rows else add_link(request, BillingDetails, user, "Add billing details")
    headers, none = ["Name", "City", "Country", "VAT number"], "None: invoices name the user."
    return Section("Billing details", headers, rows, none, "", add, is_wide=True)


def _members(request: HttpRequest, user: User, now: datetime) -> Section:
    """Who acts for the account, and for which others this person acts."""
    rows = Member.objects.filter(Q(account=user) | Q(user=user)).select_related("account", "user")
    shown = [[link(row.user), link(row.account), row.get_role_display(), instant(row.created_at)] for row in rows]
    return Section("Members", ["Who", "For", "Role", "Since (UTC)"], shown, "Nobody else acts for it.", is_wide=True)


PARTS: Final[dict[str, Part]] = {
    "usage": Part(
        "Usage",
        (
            (UsageLog, _standing),
            (UsageLog, _log),
            (Reservation, reservations.section),
            (RefusedCalls, _refusals),
            (UsageReset, _resets),
        ),
    ),
    "money": Part(
        "Money",
        (
            (Invoice, _invoices),
            (MoneyIn, _money_in),
            (Payment, _payments),
            (PaymentAttempt, card_payments.attempts),
            (CreditNote, _credit_notes),
            (Subscription, _subscriptions),
            (BillingDetails, _details),
        ),
    ),
    "access": Part(
        "Keys and limits",
        ((ApiKey, _keys), (LimitOverride, _overrides), (TokenTopUp, _top_ups), (Member, _members)),
    ),
    "history": Part(
        "History", ((User, happened.by_staff), (OutboxMessage, happened.messages), (SentMail, happened.mails))
    ),
}
