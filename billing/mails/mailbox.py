"""A backend for Django's mails that keeps them in PostgreSQL, for staff to read: so a try-out needs no provider."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from email.utils import parseaddr
from typing import Any, Final

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils import timezone

from billing.models import MailboxMessage
from billing.users import User

KEPT: Final = 1_000
"""Mails: older ones go when new ones come."""


class Mailbox(BaseEmailBackend):
    """What EMAIL_BACKEND is where no EMAIL_URL is given."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        rows = [row for message in email_messages for row in _rows(message)]
        for row in rows:
            row.save()
        if rows:
            MailboxMessage.objects.filter(pk__lte=rows[-1].pk - KEPT).delete()
        return len(email_messages)


def _rows(message: EmailMessage) -> Iterator[MailboxMessage]:
    """One for each recipient, so that each goes when its person is erased."""
    sent = message.message()  # raises on a line break in a header, as every backend does
    alternatives: list[Any] = getattr(message, "alternatives", None) or []
    html = next((str(content) for content, kind in alternatives if kind == "text/html"), "")
    for recipient in message.recipients():
        address = parseaddr(recipient)[1]
        yield MailboxMessage(
            account=User.objects.filter(email__iexact=address).first() if address else None,
            recipient=recipient[:320],
            sender=message.from_email[:320],
            subject=str(message.subject)[:1000],
            text=str(message.body).replace("\0", ""),
            html=html.replace("\0", ""),
            headers={"Message-ID": sent["Message-ID"], **{name: str(it) for name, it in message.extra_headers.items()}},
            attachments=[_name(attachment) for attachment in message.attachments],
            received_at=timezone.now(),
        )


def _name(attachment: Any) -> str:
    return str(attachment[0] if isinstance(attachment, tuple) else attachment.get_filename())
