"""Money that arrives, and where it went."""

from __future__ import annotations

import itertools
from datetime import datetime
from decimal import Decimal
from typing import Any

from billing.invoicing import issuing
from billing.models import Invoice, MoneyIn, Subscription
from billing.payments.receive import receive
from tests.billing.ledger import bill
from tests.factories import at, money

ARRIVED = at("2025-10-20")
_serial = itertools.count(1)


def arrive(account: int, amount: Any, invoice: Invoice | None = None, now: datetime = ARRIVED, **told: str) -> MoneyIn:
    """By a transfer of its own, in USD, unless it is told otherwise."""
    as_told = {"currency": "USD", "source": "bank", "reference": f"transfer {next(_serial)}"} | told
    return receive(
        account, as_told["currency"], money(amount), as_told["source"], as_told["reference"], now, now, invoice
    )


def invoiced(subscription: Subscription, amount: Any, day: str) -> Invoice:
    """One more invoice of the subscription."""
    (invoice,) = issuing.issue([bill(subscription, amount)], at(day))
    return invoice


def parts(money_in: MoneyIn) -> list[tuple[str | None, Decimal]]:
    """What each invoice got of it, or lost again, in turn."""
    return [(payment.invoice.number, payment.amount) for payment in money_in.payments.order_by("pk")]
