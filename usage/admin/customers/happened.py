"""What the customer's page says happened: what staff did, the messages of the outbox, and the mails."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest

from billing.models import (
    ApiKey,
    BillingDetails,
    CouponRedemption,
    Invoice,
    LimitOverride,
    MoneyIn,
    OutboxMessage,
    Refund,
    SentMail,
    Subscription,
    TokenTopUp,
)
from billing.outbox import actor
from billing.users import User
from usage.admin.customers.sections import Section, instant, list_url
from usage.models import UsageReset

SHOWN, LOGGED = 10, 20
WRITTEN_BY_STAFF: Final[tuple[Any, ...]] = (
    *(Subscription, Invoice, MoneyIn, Refund, ApiKey, LimitOverride, TokenTopUp),
    *(BillingDetails, CouponRedemption, UsageReset),
)
"""Rows of an account on which staff act in the admin."""


def by_staff(request: HttpRequest, user: User, now: datetime) -> Section:
    """What staff did in the admin to the user and to the rows of the account, also to those that are gone since."""
    kinds: dict[Any, ContentType] = ContentType.objects.get_for_models(User, *WRITTEN_BY_STAFF)
    of = Q(content_type=kinds[User], object_id=str(user.pk))
    for model in WRITTEN_BY_STAFF:
        rows = getattr(model, "history", model.objects).filter(account=user).order_by()
        ids = rows.values_list(Cast(model._meta.pk.attname, TextField()))
        of |= Q(content_type=kinds[model], object_id__in=ids)
    rows = [
        [f"{row.action_time:%Y-%m-%d %H:%M:%S}", str(row.user), row.object_repr, _done(row)]
        for row in LogEntry.objects.filter(of).select_related("user").order_by("-action_time")[:LOGGED]
    ]
    return Section("What staff did", ["When (UTC)", "Who", "To", "What"], rows, "Nothing yet.", is_wide=True)


def _done(entry: LogEntry) -> str:
    return "Deleted." if entry.is_deletion() else entry.get_change_message()


def messages(request: HttpRequest, user: User, now: datetime) -> Section:
    """The newest messages of the outbox, those first that nobody has been told yet."""
    of_account = OutboxMessage.objects.filter(account=user.pk)
    found = [*of_account.filter(position=None).order_by("-pk")[:LOGGED]]
    found += of_account.filter(position__isnull=False).order_by("-position")[: LOGGED - len(found)]
    people = User.objects.in_bulk(filter(None, {actor.number_of(row.actor) for row in found}))
    invoices = Invoice.objects.in_bulk({row.payload["invoice"] for row in found if row.payload.get("invoice")})
    rows = [
        [
            f"{row.recorded_at:%Y-%m-%d %H:%M:%S}",
            row.kind,
            _about(row.payload, invoices),
            _who(row.actor, people),
        ]
        for row in found
    ]
    headers, every = ["When (UTC)", "Kind", "About", "By"], list_url(OutboxMessage, user)
    return Section("What happened", headers, rows, "Nothing lately.", every, is_wide=True)


def _about(payload: Mapping[str, Any], invoices: Mapping[int, Invoice]) -> str:
    """Invoices by their numbers, which people know them by."""
    named = {**payload, "invoice": invoices[payload["invoice"]]} if payload.get("invoice") in invoices else payload
    return ", ".join(f"{name} {value}" for name, value in named.items())


def _who(by: str, people: Mapping[int, User]) -> str:
    number = actor.number_of(by)
    if number is not None:
        return str(people.get(number, "somebody who is gone"))
    return by.replace(":", " ") or "by itself"


def mails(request: HttpRequest, user: User, now: datetime) -> Section:
    rows = [
        [instant(row.first_tried_at), row.kind, _fate(row), row.error or "–"]
        for row in SentMail.objects.filter(account=user)[:SHOWN]
    ]
    headers = ["First tried (UTC)", "About", "State", "Error"]
    return Section("Mails", headers, rows, "None yet.", list_url(SentMail, user), is_wide=True)


def _fate(mail: SentMail) -> str:
    if mail.sent_at:
        return f"sent {mail.sent_at:%Y-%m-%d %H:%M}"
    return f"given up {mail.given_up_at:%Y-%m-%d %H:%M}" if mail.given_up_at else f"tried {mail.tries} times"
