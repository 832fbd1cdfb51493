"""What one mail says, before it is rendered; and how it words amounts, instants and plans."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.utils import formats, timezone
from django.utils.translation import gettext as _

from billing.models import OutboxMessage, Plan
from billing.outbox import actor
from billing.rules.money import in_currency, minor_units
from billing.users import User


class Link(NamedTuple):
    """What a mail asks to look at."""

    label: str
    path: str
    """On this site."""


class Attachment(NamedTuple):
    name: str
    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A mail in the language that was active when it was made."""

    template: str
    """Of `templates/mails`, without its ending. Its first line is the subject, what follows are paragraphs."""
    context: dict[str, Any]
    facts: list[tuple[str, str]] = field(default_factory=list)
    """What stands in a table: label and value."""
    link: Link | None = None
    attachments: list[Attachment] = field(default_factory=list)


def amount(of: Decimal, currency: str) -> str:
    """Such as 1,234.50 EUR, as the active language writes it."""
    shown = formats.number_format(in_currency(of, currency), minor_units(currency), use_l10n=True, force_grouping=True)
    return f"{shown} {currency}"


def number(of: int) -> str:
    return formats.number_format(of, 0, use_l10n=True, force_grouping=True)


def instant(at: datetime) -> str:
    """In the active time zone, which is named."""
    local = timezone.localtime(at)
    return f"{formats.date_format(local, 'DATETIME_FORMAT')} {local.tzname()}"


def day(at: datetime) -> str:
    return formats.date_format(timezone.localtime(at), "DATE_FORMAT")


def plan_name(code: str) -> str:
    """The plan's; its code where there is none."""
    return Plan.objects.filter(code=code).values_list("name", flat=True).first() or code


def done_by(message: OutboxMessage) -> list[tuple[str, str]]:
    """Who did it, as a fact: a member, or a program with a key; none of the account's own user, of staff, of nobody."""
    if message.actor.startswith("key:"):
        return [(_("By"), _("key %(key)s") % {"key": message.actor.removeprefix("key:")})]
    number = actor.number_of(message.actor)
    member = User.objects.filter(pk=number or 0, memberships__account=message.account_id).first()
    return [] if member is None else [(_("By"), member.email or member.get_username())]
