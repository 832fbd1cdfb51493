"""Taking back money that had come in: a chargeback, a transfer that was undone, a payment noted by mistake."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Sum

from billing.invoicing.ledger import BillingError, fits, lock, reopen, spend_balance
from billing.models import BalanceEntry, Invoice, MoneyIn, Payment, Reversal
from billing.models.invoicing.invoices import NOTHING
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.money import in_currency


def reverse(money: MoneyIn, amount: Decimal, reason: str, reference: str, now: datetime) -> Reversal:
    """Take back an amount of money that had come in. The same reference for the same money is the same reversal.

    What of it became balance goes first; the balance may end below 0, where it was used meanwhile, and then the next
    invoice bills it. The rest is due again on the invoices that the money settled, the one settled last first. What
    else is on the balance is used for them at once. The money's own reference stays taken.

    Raises BillingError `reversal_out_of_bounds` for more than is left of the money, and `reference_taken` for a
    reference that was told with another amount.
    """
    with transaction.atomic():
        lock(money.account_id)
        known = Reversal.objects.filter(money_in=money, reference=reference).first()
        if known is not None:
            if known.amount != amount:
                raise BillingError("reference_taken", reference=reference, amount=known.amount, currency=money.currency)
            return known
        most = left(money)
        if not fits(amount, most, money.currency):
            most = in_currency(most, money.currency)
            raise BillingError("reversal_out_of_bounds", most=most, currency=money.currency, reference=money.reference)
        from_balance = min(amount, left_on_balance(money))
        reversal = Reversal.objects.create(
            money_in=money,
            amount=amount,
            from_balance=from_balance,
            reason=reason,
            reference=reference,
            reversed_at=now,
        )
        record(Happened.MONEY_REVERSED, money.account_id, reversal=reversal.pk, money_in=money.pk)
        if from_balance:
            BalanceEntry.objects.create(
                account_id=money.account_id,
                amount=-from_balance,
                currency=money.currency,
                reversal=reversal,
                created_at=now,
            )
        _take_back(reversal, amount - from_balance)
        spend_balance(money.account_id, money.currency, now)
        return reversal


def left(money: MoneyIn) -> Decimal:
    """What has not been taken back of it. What was paid out again is still in it."""
    return money.amount - (money.reversals.aggregate(sum=Sum("amount"))["sum"] or NOTHING)


def settled_by(money: MoneyIn) -> list[tuple[Invoice, Decimal]]:
    """The invoices that the money settles, in turn, and by how much; without what was taken back."""
    parts: dict[Invoice, Decimal] = {}
    for payment in Payment.objects.filter(money_in=money).select_related("invoice").order_by("pk"):
        parts[payment.invoice] = parts.get(payment.invoice, NOTHING) + payment.amount
    return [(invoice, part) for invoice, part in parts.items() if part]


def left_on_balance(money: MoneyIn) -> Decimal:
    """What of the money became balance and was not taken back. It may have been used meanwhile."""
    return money.to_balance - (money.reversals.aggregate(sum=Sum("from_balance"))["sum"] or NOTHING)


def _take_back(reversal: Reversal, amount: Decimal) -> None:
    """Off the invoices that the money settled, the one settled last first."""
    for invoice, part in reversed(settled_by(reversal.money_in)):
        taken = min(amount, part)
        if taken <= 0:
            break
        Payment.objects.create(
            invoice=invoice,
            money_in=reversal.money_in,
            reversal=reversal,
            amount=-taken,
            paid_at=reversal.reversed_at,
            reference=reversal.reference,
        )
        reopen(invoice, taken)
        amount -= taken
