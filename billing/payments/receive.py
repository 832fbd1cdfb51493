"""The one door for money that comes in, whoever tells of it: staff, a card provider, a chain."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import transaction

from billing.invoicing.ledger import BillingError, divided, due_of, is_money, lock, settle
from billing.models import BalanceEntry, Invoice, MoneyIn, Payment
from billing.models.invoicing.invoices import NOTHING
from billing.outbox.kinds import Happened
from billing.outbox.record import record

LONG_BEFORE: Final = timedelta(days=31)
"""Money is seldom received so long before its invoice was issued: whoever notes it by hand is asked."""


def receive(
    account: int,
    currency: str,
    amount: Decimal,
    source: str,
    reference: str,
    received_at: datetime,
    now: datetime,
    invoice: Invoice | None = None,
) -> MoneyIn:
    """Record money that has arrived, and settle with it what the account owes in its currency.

    The invoice that it is for comes first, where it is open and in that currency; then the others, the oldest first.
    What is left becomes balance. So money is never refused for what it is for: it may exceed what is due, or come for
    an invoice that is paid or void.

    The same source and reference are the same money: told again, nothing is written and the first row is given, also
    where it was taken back meanwhile. Raises BillingError `reference_taken` where the reference was told of another
    account or amount, `no_money` for an amount that is not above 0 or not exact in its currency, `received_in_future`,
    and `invoice_of_another` for an invoice that is not the account's.
    """
    check(currency, amount, received_at, now)
    if invoice is not None and invoice.account_id != account:
        raise BillingError("invoice_of_another", invoice=str(invoice))
    with transaction.atomic():
        lock(account)
        parts = allocation(account, currency, amount, invoice)
        money, is_new = MoneyIn.objects.get_or_create(
            source=source,
            reference=reference,
            defaults={
                "account_id": account,
                "invoice": invoice,
                "currency": currency,
                "amount": amount,
                "to_balance": amount - sum((part for _, part in parts), NOTHING),
                "received_at": received_at,
                "recorded_at": now,
            },
        )
        if is_new:
            _allocate(money, parts, now)
        elif (money.account_id, money.currency, money.amount) != (account, currency, amount):
            raise BillingError("reference_taken", reference=reference, amount=money.amount, currency=money.currency)
        return money


def check(currency: str, amount: Decimal, received_at: datetime, now: datetime) -> None:
    """Raises BillingError for money that cannot have arrived."""
    if not is_money(amount, currency):
        raise BillingError("no_money", amount=amount, currency=currency)
    if received_at > now:
        raise BillingError("received_in_future", at=received_at)


def allocation(
    account: int, currency: str, amount: Decimal, invoice: Invoice | None = None
) -> list[tuple[Invoice, Decimal]]:
    """Which invoices money settles, and by how much, if it came now. What they leave of it becomes balance.

    Under the ledger's lock it is what `receive` does; without it, what a preview can show.
    """
    due = list(due_of(account, currency))
    if invoice is not None:
        due.sort(key=lambda each: each.pk != invoice.pk)
    return divided(amount, due)


def is_long_before(invoice: Invoice, received_at: datetime) -> bool:
    """Whether the money is dated so long before its invoice that the date looks wrong."""
    return invoice.issued_at is not None and received_at < invoice.issued_at - LONG_BEFORE


def _allocate(money: MoneyIn, parts: list[tuple[Invoice, Decimal]], now: datetime) -> None:
    record(Happened.MONEY_RECEIVED, money.account_id, money_in=money.pk)
    for invoice, part in parts:
        payment = Payment.objects.create(
            invoice=invoice, money_in=money, amount=part, paid_at=money.received_at, reference=money.reference
        )
        record(Happened.PAYMENT_RECORDED, money.account_id, payment=payment.pk, invoice=invoice.pk)
        settle(invoice, part)
    if money.to_balance:
        BalanceEntry.objects.create(
            account_id=money.account_id,
            amount=money.to_balance,
            currency=money.currency,
            money_in=money,
            created_at=now,
        )
