"""Mails about API keys: whoever did not do it learns of it. A key is named by its prefix, and never written out."""

from __future__ import annotations

from django.utils.translation import gettext as _

from billing.mails.draft import Draft, Link, instant
from billing.models import ApiKey, OutboxMessage


def created(message: OutboxMessage) -> Draft | None:
    return _about("key_created", message)


def revoked(message: OutboxMessage) -> Draft | None:
    return _about("key_revoked", message)


def _about(template: str, message: OutboxMessage) -> Draft:
    prefix = str(message.payload.get("prefix") or message.payload["key"])
    name = ApiKey.objects.filter(prefix=prefix, account=message.account_id).values_list("name", flat=True).first()
    facts = [(_("Key"), f"{prefix}…"), (_("Name"), name or prefix), (_("On"), instant(message.recorded_at))]
    context = {"prefix": prefix, "name": name or prefix}
    return Draft(template, context, facts, Link(_("Open the dashboard"), "/dashboard/"))
