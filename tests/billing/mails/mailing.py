"""Bringing messages to the consumer of mails, as the outbox does."""

from __future__ import annotations

from typing import Any

from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.db import transaction

from billing.mails.consumer import send_mail_of
from billing.models import OutboxMessage
from billing.outbox.kinds import Happened
from billing.outbox.record import record


def happened(kind: Happened, account: int, **ids: Any) -> OutboxMessage:
    """The message of it, as the transaction of a fact writes it."""
    with transaction.atomic():
        record(kind, account, **ids)
    return OutboxMessage.objects.latest("pk")


def mails() -> list[EmailMultiAlternatives]:
    """What was sent in this test."""
    return mail.outbox  # type: ignore[attr-defined, no-any-return]


def mail_of(message: OutboxMessage) -> EmailMultiAlternatives:
    """The one mail that is sent about a message."""
    before = len(mails())
    send_mail_of(message)
    assert len(mails()) == before + 1
    return mails()[-1]


def mail_about(kind: Happened, account: int) -> EmailMultiAlternatives:
    """About the latest message of a kind that a fact has written."""
    return mail_of(OutboxMessage.objects.filter(kind=kind, account=account).latest("pk"))


def html_of(sent: EmailMultiAlternatives) -> str:
    return str(sent.alternatives[0][0])
