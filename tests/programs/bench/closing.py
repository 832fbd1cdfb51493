"""`apply_downgrades` at the first of a month: every subscription is due, each gets a new period and an invoice.

Each renewal writes two messages into the outbox; the rows without them, taken in turns with the others, show what
they cost. In the row "of all kinds" a tenth of the subscriptions each is of a kind that the renewal treats in its own
way. "While they are delivered": another process does each second what a worker of Celery does; mails of the close are
written, to nobody, and webhooks made for the operator. "To one consumer" is one thread of one dispatcher and a consumer
that does nothing.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from statistics import median
from unittest.mock import patch

from django.conf import settings
from django.db import connections
from django.db.models import F, Max, Value
from django.db.models.functions import Concat
from django.utils import timezone

from billing import tasks
from billing.invoicing import issuing
from billing.models import Invoice, OutboxMessage, Plan, SentMail, Subscription, WebhookDelivery, WebhookEndpoint
from billing.outbox.delivery import Delivery
from billing.outbox.positions import give_positions
from billing.subscriptions.period_end import renewal
from billing.users import User
from billing.webhooks import secrets
from ratelimit import process_state
from tests.programs.bench import Row, at_least
from tests.programs.bench.closing_population import KINDS, be_of_all_kinds
from tests.programs.bench.growth_population import customers
from tests.programs.bench.stage import say

TITLE = "Period close"
ANCHOR = datetime(2026, 9, 1, tzinfo=UTC)
CLOSED_AT = datetime(2026, 10, 2, tzinfo=UTC)
LEAST = 3_000
"""Subscriptions a second."""
FEW, MANY = 10_000, 100_000


def run(*, quick: bool) -> list[Row]:
    close = _Closing()
    plain, bare, mixed = list[float](), list[float](), list[float]()
    for _ in range(2 if quick else 5):
        plain.append(close.rate(FEW))
        bare.append(close.rate(FEW, recording=False))
        mixed.append(close.rate(FEW, of_all_kinds=True))
    recording, without = median(plain), median(bare)
    what, each = "without messages", f"10 % each {', '.join(KINDS)}"
    rows = [
        Row(f"{FEW:,} due", recording, "subscriptions/s", f"≥ {LEAST:,}", None, recording >= LEAST),
        Row(f"{FEW:,} due, without messages", without, "subscriptions/s"),
        at_least(f"{FEW:,} due, beside it", recording, "subscriptions/s", times=0.8, of=without, what=what),
        Row(f"{FEW:,} due, {each}", median(mixed), "subscriptions/s"),
    ]
    if not quick:
        rate = close.rate(MANY)
        rows.append(Row(f"{MANY:,} due", rate, "subscriptions/s", f"≥ {LEAST:,}", None, rate >= LEAST))
        rows.append(Row(f"{MANY:,} due, {each}", close.rate(MANY, of_all_kinds=True), "subscriptions/s"))
        with _delivered_beside():
            beside, delivered = close.rate(MANY), SentMail.objects.count() + WebhookDelivery.objects.count()
        name, what = f"{MANY:,} due, while they are delivered", "without"
        note = f"{delivered:,} mails and webhooks"
        rows.append(at_least(name, beside, "subscriptions/s", times=0.8, of=rate, what=what, note=note))
    return [*rows, *_delivery()]


class _Closing:
    """Closes the periods of ever new customers."""

    def __init__(self) -> None:
        self.plans = list(Plan.objects.filter(price__gt=0))

    def rate(self, count: int, *, recording: bool = True, of_all_kinds: bool = False) -> float:
        """Subscriptions a second."""
        first = (Subscription.objects.aggregate(last=Max("pk"))["last"] or 0) + 1  # what follows an end is a row, too
        last = first + count - 1
        customers(first, last, self.plans, ANCHOR)
        User.objects.filter(pk__range=(first, last)).update(email=Concat(F("username"), Value("@example.org")))
        more = be_of_all_kinds(first, last) if of_all_kinds else 0
        invoices, messages = Invoice.objects.count(), OutboxMessage.objects.count()
        say(f"{count:,} due{'' if recording else ', without messages'}{', of all kinds' if of_all_kinds else ''}")
        if recording:
            seconds = _close(count)
        else:
            with patch.object(renewal, "record_all"), patch.object(issuing, "record_all"):
                seconds = _close(count)
        assert Invoice.objects.count() - invoices == count + more
        assert of_all_kinds or OutboxMessage.objects.count() - messages == (2 * count if recording else 0)
        return count / seconds


def _close(count: int) -> float:
    began = time.perf_counter()
    done = renewal.renew_due(CLOSED_AT)
    seconds = time.perf_counter() - began
    assert done.renewed + done.ended == count
    return seconds


@contextmanager
def _delivered_beside() -> Iterator[None]:
    """Mails have somewhere to go, one endpoint is told of everybody, and a process delivers."""
    WebhookEndpoint.objects.create(
        made_by=User.objects.create(pk=2_000_000_000, username="sue", is_staff=True),  # beyond all customers
        url="https://hooks.example.invalid/",
        secret=secrets.encrypted(secrets.new()),
        created_at=timezone.now(),
    )
    connections.close_all()
    child = os.fork()
    if not child:
        try:
            _deliver_for_ever()
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _deliver_for_ever() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    process_state.start_anew()
    logging.disable(logging.INFO)
    settings.EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
    while True:
        tasks.every_second()
        time.sleep(1)


def _delivery() -> list[Row]:
    """Of the newest messages, two for each of FEW renewals, the others forgotten."""
    waiting = OutboxMessage.objects.filter(position=None)
    newest = waiting.order_by("-pk").values_list("pk", flat=True)[2 * FEW]
    while waiting.filter(pk__lte=newest).exists():
        give_positions([], timezone.now())
    count = waiting.count()
    say(f"{count:,} messages to deliver")
    began = time.perf_counter()
    while give_positions(["bench"], timezone.now()):
        pass
    numbered = time.perf_counter()
    assert Delivery("bench", lambda _: None, timezone.now).run() == count
    ended = time.perf_counter()
    return [
        Row("messages given their positions", count / (numbered - began), "messages/s"),
        Row("messages delivered to one consumer", count / (ended - numbered), "messages/s"),
    ]
