"""The outbox's consumer that sends mails: one a message, in the language and time zone of who gets it.

A message comes at least once. Its row of SentMail says whether it was sent, and a lock of the session lets one process
at a time send it, for as long as that process lives. So a mail goes out twice only where a process dies, or loses
PostgreSQL, between the provider's yes and the note of it; both have the same Message-ID then.
"""

from __future__ import annotations

import logging
import smtplib
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db.models import F
from django.utils import timezone, translation
from django.utils.crypto import salted_hmac

from billing.mails.drafts import DRAFTS, IN_ANY_CASE, NOTICES, TO_STAFF
from billing.mails.rendering import render
from billing.models import OutboxMessage, Preferences, SentMail
from billing.postgres.session_locks import held_alone
from billing.users import User

logger = logging.getLogger(__name__)
SPACE: Final = 0x0A11
"""Of PostgreSQL's advisory locks; the second key is the message's id."""
GIVEN_UP_AFTER: Final = timedelta(days=3)
"""From the first try: what cannot be sent for so long holds up the account's later mails no more."""


class BeingSent(Exception):
    """Another process is sending this mail at the moment."""


def send_mail_of(message: OutboxMessage) -> None:
    """Send what is to be told of a message, unless that was done. Raises what the provider's backend raises."""
    user = User.objects.filter(pk=message.account_id).first() if message.kind in DRAFTS else None
    if user is None or not _address(user, message.kind):
        return
    with held_alone(SPACE, message.pk % 2**31) as alone:
        if not alone:
            raise BeingSent(f"message {message.pk}")
        row, _ = SentMail.objects.get_or_create(
            message_id=message.pk,
            defaults={"account": user, "kind": message.kind, "first_tried_at": timezone.now()},
        )
        if not row.has_ended:
            _try(row, message, user)


def _address(user: User, kind: str) -> str:
    """Who gets it; "" for nobody."""
    if kind in TO_STAFF:
        return str(settings.STAFF_EMAIL)
    if not (user.is_active or kind in IN_ANY_CASE) or (kind in NOTICES and not Preferences.of(user.pk).notices):
        return ""
    return user.email


def _try(row: SentMail, message: OutboxMessage, user: User) -> None:
    digest = salted_hmac("billing.mails.address", _address(user, message.kind).casefold()).hexdigest()[:32]
    _note(row, tries=F("tries") + 1, address=digest)
    try:
        was_sent = _send(message, user)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"[:500].encode(errors="replace").decode().replace("\0", "?")
        if not _is_final(error) and timezone.now() - row.first_tried_at < GIVEN_UP_AFTER:
            _note(row, error=said)
            raise
        logger.error("the mail of message %s is given up: %s", message.pk, type(error).__name__)
        _note(row, error=said, given_up_at=timezone.now())
        return
    if was_sent:
        _note(row, error="", sent_at=timezone.now())
    else:
        row.delete()


def _send(message: OutboxMessage, user: User) -> bool:
    """False where there is nothing to tell any more."""
    preferences = Preferences() if message.kind in TO_STAFF else Preferences.of(user.pk)
    with translation.override(preferences.language or "en"), timezone.override(preferences.zone):
        draft = DRAFTS[message.kind](message)
        if draft is None:
            return False
        to = _address(user, message.kind)
        return render(draft, message, user, to, is_notice=message.kind in NOTICES).send() > 0


def _is_final(error: Exception) -> bool:
    """Whether the provider has refused this address, or this mail, for good: what is wrong with neither may pass."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    return isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500


def _note(row: SentMail, **changes: object) -> None:
    SentMail.objects.filter(pk=row.pk).update(**changes)
