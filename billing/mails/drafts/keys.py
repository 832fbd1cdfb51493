"""Mails about API keys: whoever did not do it learns of it. A key is named by how it begins, and never written out."""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext as _

from billing.mails.draft import Draft, Link, done_by, instant
from billing.models import ApiKey, OutboxMessage


def created(message: OutboxMessage) -> Draft | None:
    return _about("key_created", message)


def revoked(message: OutboxMessage) -> Draft | None:
    return _about("key_revoked", message)


def rotated(message: OutboxMessage) -> Draft | None:
    draft = _about("key_rotated", message)
    overlap = timedelta(seconds=message.payload["overlap_seconds"])
    successor = str(message.payload["successor"])
    draft.context["successor"] = _beginning(_key(message, successor), successor)
    draft.context["until"] = instant(message.recorded_at + overlap) if overlap else ""
    return draft


def _about(template: str, message: OutboxMessage) -> Draft:
    prefix = str(message.payload["key"])
    key = _key(message, prefix)
    beginning, name = _beginning(key, prefix), key.name if key is not None else prefix
    facts = [(_("Key"), f"{beginning}…"), (_("Name"), name), (_("On"), instant(message.recorded_at)), *done_by(message)]
    return Draft(template, {"prefix": beginning, "name": name}, facts, Link(_("Look at your keys"), "/dashboard/keys/"))


def _key(message: OutboxMessage, prefix: str) -> ApiKey | None:
    found: ApiKey | None = ApiKey.objects.filter(prefix=prefix, account=message.account_id).first()
    return found


def _beginning(key: ApiKey | None, prefix: str) -> str:
    return key.beginning if key is not None else prefix
