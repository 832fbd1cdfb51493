"""What happened to an account, and who did it, as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.models import Invoice, OutboxMessage, Plan
from billing.outbox import actor
from billing.outbox.kinds import Happened
from billing.users import User
from billing_site.dashboard.access import DashboardRequest, dashboard_page

NEWEST = 100
PLANS_NAMED = ("plan", "from_plan", "to_plan")
"""Members of a message that are codes of plans."""
SENTENCES: Final[Mapping[str, str | Promise]] = {
    Happened.SUBSCRIPTION_OPENED: gettext_lazy("Plan %(plan)s began"),
    Happened.PLAN_CHANGED: gettext_lazy("Plan changed from %(from_plan)s to %(to_plan)s"),
    Happened.CHANGE_SCHEDULED: gettext_lazy("Change to %(plan)s scheduled"),
    Happened.SCHEDULE_CANCELLED: gettext_lazy("Scheduled change to %(plan)s taken back"),
    Happened.SCHEDULE_APPLIED: gettext_lazy("Plan changed from %(from_plan)s to %(to_plan)s, as scheduled"),
    Happened.PERIOD_RENEWED: gettext_lazy("%(plan)s renewed"),
    Happened.CANCEL_SCHEDULED: gettext_lazy("Subscription canceled for the end of its period"),
    Happened.CANCEL_WITHDRAWN: gettext_lazy("Cancellation taken back"),
    Happened.TRIAL_STARTED: gettext_lazy("Trial of %(plan)s began"),
    Happened.TRIAL_ENDING: gettext_lazy("Trial of %(plan)s ends soon"),
    Happened.SUBSCRIPTION_ENDED: gettext_lazy("Subscription to %(plan)s ended"),
    Happened.SUBSCRIPTION_PARKED: gettext_lazy("Billing is held until our staff have looked"),
    Happened.SUBSCRIPTION_RELEASED: gettext_lazy("Billing goes on"),
    Happened.INVOICE_ISSUED: gettext_lazy("Invoice %(number)s issued"),
    Happened.INVOICE_PAID: gettext_lazy("Invoice %(number)s paid"),
    Happened.INVOICE_VOIDED: gettext_lazy("Invoice %(number)s voided"),
    Happened.INVOICE_REOPENED: gettext_lazy("Invoice %(number)s due again"),
    Happened.MONEY_RECEIVED: gettext_lazy("Money received"),
    Happened.PAYMENT_RECORDED: gettext_lazy("Payment for invoice %(number)s recorded"),
    Happened.MONEY_REVERSED: gettext_lazy("A payment taken back"),
    Happened.REFUND_REQUESTED: gettext_lazy("Refund requested"),
    Happened.REFUND_SUCCEEDED: gettext_lazy("Refund paid out"),
    Happened.REFUND_FAILED: gettext_lazy("Refund failed; it is balance again"),
    Happened.PAYMENT_METHOD_SAVED: gettext_lazy("Card saved"),
    Happened.PAYMENT_METHOD_DEFAULT_SET: gettext_lazy("Another card is the default"),
    Happened.PAYMENT_METHOD_REMOVED: gettext_lazy("Card removed"),
    Happened.CHARGE_SUCCEEDED: gettext_lazy("Invoice %(number)s charged to a card"),
    Happened.CHARGE_FAILED: gettext_lazy("Card declined for invoice %(number)s"),
    Happened.CHARGE_NEEDS_ACTION: gettext_lazy("The bank wants the payment of invoice %(number)s confirmed"),
    Happened.PAST_DUE_BEGAN: gettext_lazy("Invoice %(number)s past due"),
    Happened.PLAN_PAUSED: gettext_lazy("Plan paused, as invoice %(number)s is past due"),
    Happened.PAST_DUE_ENDED: gettext_lazy("Invoice %(number)s no longer past due"),
    Happened.DISPUTE_OPENED: gettext_lazy("A payment disputed at the bank"),
    Happened.DISPUTE_CLOSED: gettext_lazy("Dispute of a payment decided"),
    Happened.CREDIT_NOTE_ISSUED: gettext_lazy("Invoice %(number)s credited"),
    Happened.TOKEN_PACK_BOUGHT: gettext_lazy("Token pack %(pack)s bought"),
    Happened.OVERAGE_CAP_SET: gettext_lazy("Limit for tokens above the quota set"),
    Happened.COUPON_REDEEMED: gettext_lazy("Coupon %(coupon)s redeemed"),
    Happened.COUPON_WITHDRAWN: gettext_lazy("Coupon %(coupon)s given up"),
    Happened.API_KEY_ISSUED: gettext_lazy("Key %(key)s created"),
    Happened.API_KEY_ROTATED: gettext_lazy("Key %(key)s rotated: %(successor)s takes its place"),
    Happened.API_KEY_CHANGED: gettext_lazy("Key %(key)s changed"),
    Happened.API_KEY_REVOKED: gettext_lazy("Key %(key)s revoked"),
    Happened.MEMBER_INVITED: gettext_lazy("Somebody invited as %(role)s"),
    Happened.MEMBER_WITHDRAWN: gettext_lazy("Invitation withdrawn"),
    Happened.MEMBER_JOINED: gettext_lazy("%(user)s joined as %(role)s"),
    Happened.MEMBER_CHANGED: gettext_lazy("%(user)s is %(role)s now"),
    Happened.MEMBER_REMOVED: gettext_lazy("%(user)s is no member any more"),
    Happened.NEW_PLACE: gettext_lazy("Log-in from a new place"),
    Happened.THRESHOLD_CROSSED: gettext_lazy("%(percent)s %% of the tokens are used"),
    Happened.USAGE_RESET: gettext_lazy("Quota given anew"),
    Happened.WEBHOOK_DISABLED: gettext_lazy("A webhook disabled because of its answers"),
    Happened.OPERATORS_WEBHOOK_DISABLED: gettext_lazy("A webhook disabled because of its answers"),
    Happened.LIMITS_CHANGED: gettext_lazy("Own limits changed"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    at: datetime
    what: str
    who: str


@dashboard_page()
def show(request: DashboardRequest) -> HttpResponseBase:
    account = request.acting.account
    return render(request, "dashboard/activity.html", {"entries": _entries(account, _newest(account))})


def _newest(account: int) -> list[OutboxMessage]:
    """Those without a position are the newest; each kind has an index of its own."""
    rows = OutboxMessage.objects.filter(account=account)
    fresh = list(rows.filter(position=None).order_by("-pk")[:NEWEST])
    return (fresh + list(rows.filter(position__isnull=False).order_by("-position")[:NEWEST]))[:NEWEST]


def _entries(account: int, rows: list[OutboxMessage]) -> list[Entry]:
    numbers = {row.payload["invoice"] for row in rows if "invoice" in row.payload}
    issued = Invoice.objects.filter(account=account, pk__in=numbers).values_list("pk", "number")
    invoices = {pk: number or "" for pk, number in issued}
    codes = {row.payload[name] for row in rows for name in PLANS_NAMED if name in row.payload}
    plans = dict(Plan.objects.filter(code__in=codes).values_list("code", "name"))
    people = {actor.number_of(row.actor) for row in rows} | {row.payload.get("user") for row in rows}
    users = User.objects.in_bulk([number for number in people if number])
    members = {account, *User.objects.filter(memberships__account=account).values_list("pk", flat=True)}
    return [
        Entry(row.recorded_at, _what(row.kind, row.payload, invoices, users, plans), _who(row.actor, users, members))
        for row in rows
    ]


def _what(
    kind: str,
    payload: Mapping[str, Any],
    invoices: Mapping[int, str],
    users: Mapping[int, User],
    plans: Mapping[str, str],
) -> str:
    sentence = SENTENCES.get(kind)
    if sentence is None:
        return kind
    values: dict[str, Any] = {"number": invoices.get(payload.get("invoice", 0)) or "–", **payload}
    values |= {name: plans.get(payload[name], payload[name]) for name in PLANS_NAMED if name in payload}
    if "user" in payload:
        values["user"] = users.get(payload["user"]) or _("somebody")
    return str(sentence) % values


def _who(by: str, users: Mapping[int, User], members: set[int]) -> str:
    """Staff are not named to customers."""
    number = actor.number_of(by)
    if number is not None:
        person = users.get(number)
        if person is None:
            return _("somebody")
        return str(person) if number in members else _("our staff") if person.is_staff else str(person)
    return _("key %(key)s") % {"key": by.partition(":")[2]} if by else _("automatically")
