"""Finding out how charges ended whose answer nobody has, and ending those that nobody waits for any more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Q

from billing.models import Invoice, PaymentAttempt
from billing.payments.cards import methods
from billing.payments.cards.answers import Answered, Rejected
from billing.payments.cards.charging import attempts, automatic, pages
from billing.payments.cards.charging.attempts import State
from billing.payments.cards.gateway import KEY_KEPT, Gateway
from billing.rules.payments.dunning import waits_until

BATCH: Final = 10_000
"""Rows read at once; how long a run takes, its caller decides."""
LOOKS: Final = timedelta(minutes=10)
"""Between two looks at a page, whose end an event tells as a rule."""


def work_off(gateway: Gateway, now: datetime, goes_on: Callable[[], bool] = lambda: True) -> int:
    """Ask about each live attempt that whoever was at it has left, while it `goes_on`; how many were asked about."""
    left = PaymentAttempt.objects.live().filter(created_at__lte=now - automatic.FIRST_MINUTES, provider=gateway.name)
    waits = Q(state=State.NEEDS_ACTION, sent_at__gt=now - LOOKS)
    rows = left.exclude(waits).select_related("invoice", "method").order_by("sent_at", "pk")
    asked = 0
    for attempt in rows[:BATCH]:
        if not goes_on():
            break
        if automatic.is_stuck(attempt, now):
            _ask(gateway, attempt, now)
            asked += 1
    return asked


def ask(gateway: Gateway, attempt: PaymentAttempt, now: datetime) -> PaymentAttempt:
    """Ask the provider about an attempt now, for staff: as the sweep does, without its pauses."""
    _ask(gateway, attempt, now)
    return PaymentAttempt.objects.get(pk=attempt.pk)


def _ask(gateway: Gateway, attempt: PaymentAttempt, now: datetime) -> None:
    if not attempt.is_live:
        if attempt.reference:
            attempts.note(attempt.pk, gateway.fetch_charge(attempt.reference), now)
    elif attempt.state == State.NEEDS_ACTION:
        _ask_of_waiting(gateway, attempt, now)
    elif attempt.state == State.CREATED and attempt.invoice.status != Invoice.Status.OPEN:
        attempts.cancel(attempt.pk, now)
    elif attempt.reference:
        if attempts.claim(attempt, now):
            attempts.note(attempt.pk, gateway.fetch_charge(attempt.reference), now)
    elif attempt.method and attempt.invoice.status == Invoice.Status.OPEN and attempt.created_at > now - KEY_KEPT:
        automatic.send(gateway, attempt, now)
    else:
        _look_for(gateway, attempt, now)


def _look_for(gateway: Gateway, attempt: PaymentAttempt, now: datetime) -> None:
    """Sent again it might be charged again, or for nothing any more: only what the provider has is applied."""
    if not attempts.claim(attempt, now):
        return
    customer = methods.customer_of(gateway, attempt.account_id, now)
    if not isinstance(customer, Answered):
        return
    found = gateway.find_charge(customer.value, str(attempt.pk), attempt.created_at - timedelta(minutes=5))
    if isinstance(found, Answered) and found.value is None:
        if attempt.method and attempt.invoice.status == Invoice.Status.OPEN:
            attempts.note(attempt.pk, Rejected("never_arrived", "The provider knows of no such charge."), now)
        else:
            attempts.cancel(attempt.pk, now)
    elif isinstance(found, Answered) and found.value is not None:
        attempts.note(attempt.pk, Answered(found.value), now)


def _ask_of_waiting(gateway: Gateway, attempt: PaymentAttempt, now: datetime) -> None:
    if not attempts.claim(attempt, now, State.NEEDS_ACTION):
        return
    first = PaymentAttempt.objects.filter(invoice=attempt.invoice_id).order_by("number")[0]
    is_over = now >= waits_until(first.created_at, settings.DUNNING_DAYS)
    if attempt.invoice.status != Invoice.Status.OPEN or (is_over and not attempt.page_reference):
        pages.end(gateway, attempt, now)
    elif attempt.page_reference:
        pages.look(gateway, attempt, now)
