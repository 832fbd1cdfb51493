"""What time does to invoices that could not be charged: the next try, and who is told that a grace has ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction

from billing.invoicing import past_due
from billing.invoicing.ledger import BillingError, lock
from billing.models import Invoice, PastDue, PaymentAttempt
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.payments.cards.charging import attempts, automatic
from billing.payments.cards.charging.attempts import AttemptRunning, Cause
from billing.payments.cards.gateway import Gateway

BATCH: Final = 10_000
"""Rows read at once; how long a run takes, its caller decides."""


def retry_due(gateway: Gateway, now: datetime, goes_on: Callable[[], bool] = lambda: True) -> int:
    """Make the tries whose day has come, while it `goes_on`; how many. Several processes at once make each once."""
    planned = PaymentAttempt.objects.filter(next_try_at__lte=now).order_by("next_try_at").values_list("pk", flat=True)
    tried = 0
    for failed in planned[:BATCH]:
        if not goes_on():
            break
        attempt = _begin_again(failed, gateway, now)
        if attempt is not None:
            automatic.send(gateway, attempt, now)
            tried += 1
    return tried


def _begin_again(failed: UUID, gateway: Gateway, now: datetime) -> PaymentAttempt | None:
    with transaction.atomic():
        lock(PaymentAttempt.objects.values_list("account", flat=True).get(pk=failed))
        row = PaymentAttempt.objects.select_related("invoice").get(pk=failed)
        if row.next_try_at is None or row.next_try_at > now:
            return None  # somebody else was faster
        method = attempts.method_to_try(row.invoice)
        try:
            if method is not None:
                return attempts.begin(row.invoice, method, Cause.RETRY, gateway.name, now)
        except AttemptRunning:
            return None  # the customer is at it; what follows is decided when that has ended
        except BillingError:
            pass
        PaymentAttempt.objects.filter(pk=row.pk).update(next_try_at=None)
        if row.invoice.status == Invoice.Status.OPEN:
            past_due.begin(row.invoice, now)  # the method was removed
        return None


def tell_of_pauses(now: datetime) -> int:
    """Tell those whose grace has ended that the default plan is served; how many. What is served needs no telling."""
    until, told = now - timedelta(days=settings.PAST_DUE_GRACE_DAYS), 0
    ended = PastDue.objects.filter(pause_told_at=None, since__lte=until).order_by("since")
    for pk, account in ended.values_list("pk", "account")[:BATCH]:
        with transaction.atomic():
            lock(account)
            row = PastDue.objects.filter(pk=pk, pause_told_at=None).first()
            if row is not None:
                PastDue.objects.filter(pk=pk).update(pause_told_at=now)
                record(Happened.PLAN_PAUSED, account, invoice=row.invoice_id, since=row.since.isoformat())
                told += 1
    return told
