"""A process that forks workers and kills each at another point: before every statement, before every commit, and before
and after every call of the provider.

For each point, on an invoice of its own: a worker charges it and kills itself there; two minutes later the message is
delivered again, and a beat sweeps. Prints a JSON line a point. `FIRST STEP` say which points are walked; it ends
after the first one that a worker does not reach.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from datetime import timedelta
from typing import Any

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.utils import timezone  # noqa: E402

from billing.models import Invoice, MoneyIn, PaymentAttempt, PaymentMethod, Plan  # noqa: E402
from billing.payments.cards import methods  # noqa: E402
from billing.payments.cards.charging import automatic, sweep  # noqa: E402
from billing.payments.cards.configured import card_gateway  # noqa: E402
from billing.subscriptions import opening  # noqa: E402
from tests.processes import at_statements, is_killed, killing_at  # noqa: E402
from tests.servers.card.running import VISA, CardServer  # noqa: E402

GATEWAY, SERVER = card_gateway(), CardServer(os.environ["STRIPE_API_BASE"])
assert GATEWAY is not None


def buyer(name: str) -> Invoice:
    """Somebody on pro with a card, whose first invoice is open."""
    assert GATEWAY is not None
    user, now = User.objects.create_user(name), timezone.now()
    opening.subscribe(user.pk, Plan.objects.get(code="pro"), now)
    customer: Any = methods.customer_of(GATEWAY, user.pk, now)
    saved = SERVER.save_card(customer=customer.value, number=VISA)
    facts = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2034, "is_default": True}
    PaymentMethod.objects.create(
        account=user, provider=GATEWAY.name, reference=saved["id"], is_live=False, created_at=now, **facts
    )
    return Invoice.objects.get(account=user)


def worker(invoice: Invoice, killed_at: int) -> None:
    """One worker's life, in a process of its own."""
    assert GATEWAY is not None
    step, charge = killing_at(killed_at), GATEWAY.charge

    def call(*args: Any, **kwargs: Any) -> Any:
        step()
        answer = charge(*args, **kwargs)
        step()
        return answer

    GATEWAY.charge = call  # type: ignore[method-assign]
    with at_statements(step):
        automatic.charge_issued(GATEWAY, invoice, timezone.now())


def main(first: int, step: int) -> None:
    assert GATEWAY is not None
    for point in itertools.count(first, step):
        invoice = buyer(f"buyer{point}")
        killed = is_killed(worker, invoice, point)
        later = timezone.now() + timedelta(minutes=2)
        automatic.charge_issued(GATEWAY, invoice, later)
        sweep.work_off(GATEWAY, later)
        invoice.refresh_from_db()
        attempts = list(PaymentAttempt.objects.filter(invoice=invoice).values_list("state", flat=True))
        came = [
            str(amount) for amount in MoneyIn.objects.filter(account=invoice.account).values_list("amount", flat=True)
        ]
        print(json.dumps({"killed": killed, "status": invoice.status, "attempts": attempts, "came": came}), flush=True)
        if not killed:
            return


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
