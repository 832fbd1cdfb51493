"""Money that staff noted in the wrong place: it is taken back there, and received where it belongs."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db import transaction

from billing.invoicing.ledger import BillingError, lock
from billing.models import Invoice, MoneyIn
from billing.models.payments.money import MANUAL
from billing.payments.receive import receive
from billing.payments.reversals import left, reverse

MOVED: Final = " (moved from "


def move(money: MoneyIn, account: int, reason: str, now: datetime, invoice: Invoice | None = None) -> MoneyIn:
    """Take back all that is left of money noted by hand, and record it for another account or invoice. Both or neither.

    The new row's reference names the old row. Raises BillingError `not_by_hand` for money that a provider told of: it
    knows where that belongs; and as `reverse` and `receive`.
    """
    if money.source != MANUAL:
        raise BillingError("not_by_hand", reference=money.reference, source=money.source)
    with transaction.atomic():
        for each in sorted({money.account_id, account}):
            lock(each)
        amount = left(money)
        reverse(money, amount, reason, "moved", now)
        reference = f"{money.reference.split(MOVED)[0]}{MOVED}{money.pk})"
        return receive(account, money.currency, amount, MANUAL, reference, money.received_at, now, invoice)
