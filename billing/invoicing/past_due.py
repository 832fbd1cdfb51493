"""Marks an invoice as past due, and takes the mark away with what is due. Callers hold the account's lock."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from billing.models import Invoice, PastDue
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.payments.past_due import paused_from


def begin(invoice: Invoice, now: datetime) -> None:
    """Nothing more is tried by itself for an open invoice. Begun before, it stays as it is."""
    row, is_new = PastDue.objects.get_or_create(
        invoice=invoice, defaults={"account_id": invoice.account_id, "since": now}
    )
    if is_new:
        pauses_at = paused_from(row.since, settings.PAST_DUE_GRACE_DAYS)
        dates = {"since": now.isoformat(), "pauses_at": pauses_at.isoformat() if pauses_at else ""}
        record(Happened.PAST_DUE_BEGAN, invoice.account_id, invoice=invoice.pk, **dates)


def end(invoice: Invoice) -> None:
    """It is settled or void. Does nothing to an invoice that is not past due."""
    row = PastDue.objects.filter(invoice=invoice).first()
    if row is None:
        return
    row.delete()
    others = PastDue.objects.filter(account=invoice.account_id).count()
    ids = {"invoice": invoice.pk, "others": others, "was_paused": int(row.pause_told_at is not None)}
    record(Happened.PAST_DUE_ENDED, invoice.account_id, **ids)
