"""Where money went, in words for staff."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from billing.models import Invoice, MoneyIn
from billing.payments.reversals import left_on_balance, settled_by
from billing.rules.money import in_currency


def where_it_lies(money: MoneyIn) -> str:
    """What of the money is where now: `29.00 USD to INV-000001, 6.00 USD to the balance`; or ""."""
    return said(settled_by(money), left_on_balance(money), money.currency)


def said(parts: Iterable[tuple[Invoice, Decimal]], to_balance: Decimal, currency: str) -> str:
    shown = [f"{in_currency(part, currency)} {currency} to {invoice}" for invoice, part in parts]
    if to_balance:
        shown.append(f"{in_currency(to_balance, currency)} {currency} to the balance")
    return ", ".join(shown)
