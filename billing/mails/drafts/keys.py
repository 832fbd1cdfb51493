"""Mails about API keys: whoever did not do it learns of it. A key is named by its prefix, and never written out."""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext as _

from billing.mails.draft import Draft, Link, instant
from billing.models import ApiKey, OutboxMessage


def created(message: OutboxMessage) -> Draft | None:
    return _about("key_created", message)


def revoked(message: OutboxMessage) -> Draft | None:
    return _about("key_revoked", message)


def rotated(message: OutboxMessage) -> Draft | None:
    draft = _about("key_rotated", message)
    overlap = timedelta(seconds=message.payload["overlap_seconds"])
    draft.context["successor"] = message.payload["successor"]
    draft.context["until"] = instant(message.recorded_at + overlap) if overlap else ""
    return draft


def _about(template: str, message: OutboxMessage) -> Draft:
    prefix = str(message.payload["key"])
    name = ApiKey.objects.filter(prefix=prefix, account=message.account_id).values_list("name", flat=True).first()
    facts = [(_("Key"), f"{prefix}…"), (_("Name"), name or prefix), (_("On"), instant(message.recorded_at))]
    context = {"prefix": prefix, "name": name or prefix}
    return Draft(template, context, facts, Link(_("Look at your keys"), "/dashboard/keys/"))
