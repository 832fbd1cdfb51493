"""Paying balance out to the customer. Whoever pays it (staff, a card provider, a chain) says how it went."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db import transaction
from django.db.models import Sum

from billing.invoicing import credit_notes
from billing.invoicing.ledger import BillingError, balance, due_of, fits, lock, spend_balance
from billing.models import BalanceEntry, Invoice, MoneyIn, Refund
from billing.models.invoicing.invoices import NOTHING
from billing.models.payments.money import MANUAL
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.payments import reversals
from billing.rules.money import in_currency

State = Refund.State
FOLLOWS: Final[Mapping[str, frozenset[str]]] = {
    State.REQUESTED: frozenset({State.SENT, State.UNKNOWN, State.SUCCEEDED, State.FAILED}),
    State.SENT: frozenset({State.UNKNOWN, State.SUCCEEDED, State.FAILED}),
    State.UNKNOWN: frozenset({State.SENT, State.SUCCEEDED, State.FAILED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
}
"""What may come after each state. The last two are final."""
TOLD: Final = {State.SUCCEEDED: Happened.REFUND_SUCCEEDED, State.FAILED: Happened.REFUND_FAILED}


def request(
    account: int,
    currency: str,
    amount: Decimal,
    provider: str,
    reason: str,
    now: datetime,
    money: MoneyIn | None = None,
) -> Refund:
    """Take an amount off the balance, to be paid out. Nothing is sent here: the caller does, once this is committed.

    `money` is what it is paid back of, where it goes back the way it came. Raises BillingError `refund_out_of_bounds`
    for more than is on the balance, or than is left of that money.
    """
    with transaction.atomic():
        lock(account)
        most = refundable(account, currency, money)
        if not fits(amount, most, currency):
            raise BillingError("refund_out_of_bounds", most=in_currency(most, currency), currency=currency)
        refund = Refund.objects.create(
            account_id=account,
            money_in=money,
            currency=currency,
            amount=amount,
            provider=provider,
            reason=reason,
            requested_at=now,
            changed_at=now,
        )
        _move_balance(refund, -amount, now)
        record(Happened.REFUND_REQUESTED, account, refund=refund.pk)
        return refund


def refundable(account: int, currency: str, money: MoneyIn | None = None) -> Decimal:
    """The most that can be paid out now, at least 0: the balance, which is never more than was received.

    Of `money`, no more than was neither taken back nor paid out before.
    """
    most = balance(account, currency)
    if money is not None:
        is_of_it = (money.account_id, money.currency) == (account, currency)
        most = min(most, left_of(money) if is_of_it else NOTHING)
    return max(most, NOTHING)


def left_of(money: MoneyIn) -> Decimal:
    """What of money that came in was neither taken back nor paid out."""
    paid_out = Refund.objects.paid_or_under_way().filter(money_in=money).aggregate(sum=Sum("amount"))["sum"]
    return reversals.left(money) - (paid_out or NOTHING)


def advance(refund: Refund, state: str, now: datetime, reference: str = "") -> Refund:
    """Note how a refund stands: `sent`, `unknown`, `succeeded` or `failed`; the last two are final.

    A state that cannot follow changes nothing, so answers may come twice and in any order. One that has failed is
    balance again, and pays what is due. `reference` is the provider's id, kept once it is known.
    """
    with transaction.atomic():
        lock(refund.account_id)
        refund.refresh_from_db()
        if state not in FOLLOWS[refund.state]:
            return refund
        refund.state, refund.changed_at = state, now
        refund.reference = refund.reference or reference
        refund.save(update_fields=["state", "changed_at", "reference"])
        if state == State.FAILED:
            _move_balance(refund, refund.amount, now)
            spend_balance(refund.account_id, refund.currency, now)
        if state in TOLD:
            record(TOLD[State(state)], refund.account_id, refund=refund.pk)
        return refund


def note_paid_out(account: int, currency: str, amount: Decimal, reference: str, reason: str, now: datetime) -> Refund:
    """Note that staff have paid balance out, such as by bank transfer. The same reference is the same refund.

    Raises BillingError as `request`, and `reference_taken` where the reference was noted of another account or amount.
    """
    with transaction.atomic():
        lock(account)
        known = Refund.objects.filter(provider=MANUAL, reference=reference).first()
        if known is None:
            return advance(request(account, currency, amount, MANUAL, reason, now), State.SUCCEEDED, now, reference)
        if (known.account_id, known.currency, known.amount) != (account, currency, amount):
            raise BillingError("reference_taken", reference=reference, amount=known.amount, currency=known.currency)
        return known


def request_for_invoice(
    invoice: Invoice, amount: Decimal, provider: str, reason: str, now: datetime, money: MoneyIn | None = None
) -> Refund:
    """Credit an amount of an invoice, and request that it is paid out. Both or neither.

    Raises BillingError as `credit_notes.credit` and `request`, and `refund_while_due` while the account has something
    to pay in the currency: a credit pays that first, so the whole of it never becomes balance.
    """
    with transaction.atomic():
        lock(invoice.account_id)
        due = due_first(invoice)
        if due > 0:
            raise BillingError("refund_while_due", due=in_currency(due, invoice.currency), currency=invoice.currency)
        credit_notes.credit(invoice, amount, reason, now)
        return request(invoice.account_id, invoice.currency, amount, provider, reason, now, money)


def due_first(invoice: Invoice) -> Decimal:
    """What the invoice's account has to pay in its currency, which a credit of the invoice is used for first."""
    return sum((each.due for each in due_of(invoice.account_id, invoice.currency)), NOTHING)


def _move_balance(refund: Refund, amount: Decimal, now: datetime) -> None:
    BalanceEntry.objects.create(
        account_id=refund.account_id, amount=amount, currency=refund.currency, refund=refund, created_at=now
    )
