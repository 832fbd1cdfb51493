"""Two workers and two beats at many due invoices: each is charged once, counted at the provider."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from django.conf import settings

from billing.models import Invoice, MoneyIn, PaymentAttempt, PaymentMethod
from billing.payments.cards.charging import attempts
from tests.billing.payments.cards.buyer import CHARGES, Buyer
from tests.cast import Customer
from tests.effort import effort
from tests.processes import database_url
from tests.servers.card.running import KEY, CardServer
from tests.servers.card.telling import SECRET

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.no_cover]
INVOICES = effort(40, 1000)
WORKER = """
import django
django.setup()
from billing.models import OutboxMessage
from billing.outbox.kinds import Happened
from billing.payments.cards.charging.consumer import charge
for message in OutboxMessage.objects.filter(kind=Happened.INVOICE_ISSUED).order_by("pk"):
    charge(message)
"""
BEAT = """
import django, sys
django.setup()
from datetime import timedelta
from django.utils import timezone
from billing.payments.cards.charging import dunning, sweep
from billing.payments.cards.configured import card_gateway
for minutes in map(int, sys.argv[1:]):
    later = timezone.now() + timedelta(minutes=minutes)
    sweep.work_off(card_gateway(), later)
    dunning.retry_due(card_gateway(), later)
"""


def started(program: str, server: CardServer, *arguments: str) -> subprocess.Popen[str]:
    given = {
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "billing_site.settings",
        "SECRET_KEY": "tests",
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_BASE": server.url,
    }
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | given,
        stderr=subprocess.PIPE,
        text=True,
        cwd=settings.BASE_DIR,
    )


def finish(*running: subprocess.Popen[str]) -> None:
    for process in running:
        _, errors = process.communicate(timeout=1_800)
        assert process.returncode == 0, errors


def test_each_invoice_is_charged_once(customer: Callable[..., Customer], card_server: CardServer) -> None:
    buyers = [Buyer(customer(f"customer{number}", "pro"), card_server) for number in range(INVOICES)]
    for buyer in buyers:
        buyer.card()
    # A part was begun by a worker that has died, and a part fails at first.
    for buyer in buyers[::4]:
        attempts.begin(buyer.invoice, PaymentMethod.objects.get(account=buyer.account), "issued", "stripe", buyer.now)
    card_server.fault("lose", "POST /v1/payment_intents$", times=INVOICES // 10)
    workers = [started(WORKER, card_server) for _ in range(2)]
    finish(*workers, *(started(BEAT, card_server, "2", "4", "6") for _ in range(2)))
    finish(started(BEAT, card_server, "10"))
    assert len([each for each in card_server.asked() if each == CHARGES]) == INVOICES
    assert PaymentAttempt.objects.filter(state="succeeded").count() == PaymentAttempt.objects.count() == INVOICES
    assert MoneyIn.objects.count() == INVOICES
    assert not Invoice.objects.due().exists()
