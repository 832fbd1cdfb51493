"""What has arrived at an address becomes money, by its sum: told twice or in pieces, it is credited once."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db.models import Sum

from billing.invoicing import credit_notes
from billing.invoicing.ledger import BillingError, lock
from billing.models import ChainTransfer, DepositAddress, Invoice, MoneyIn, PaymentRequest, Token, TransferCredit
from billing.models.invoicing.invoices import NOTHING
from billing.payments import receive, reversals

REORGANISED: Final = "The chain was reorganised: the transfer is no part of it any more."
MISSING: Final = "Less was transferred than was due, within what is tolerated."


def lock_accounts_of(addresses: Iterable[DepositAddress]) -> None:
    """Lock the ledgers of the addresses' accounts, in an order that all who lock several keep."""
    for account in sorted({each.account_id for each in addresses}):
        lock(account)


def settle(addresses: Iterable[DepositAddress], now: datetime) -> None:
    """Bring what each address was credited with to what its credited transfers are worth. Law C1.

    In the caller's transaction, which holds the accounts' locks and has written the transfers.
    """
    for address in sorted(addresses, key=lambda each: (each.account_id, each.pk)):
        _settle(address, now)


def arrived(address: DepositAddress) -> int:
    """Units of the asked token that count."""
    found = ChainTransfer.objects.filter(address=address, state=ChainTransfer.State.CREDITED)
    return int(found.aggregate(sum=Sum("units"))["sum"] or 0)


def credited(address: DepositAddress) -> Decimal:
    return TransferCredit.objects.filter(address=address).aggregate(sum=Sum("amount"))["sum"] or NOTHING


def _settle(address: DepositAddress, now: datetime) -> None:
    request = PaymentRequest.objects.select_related("token__chain", "invoice").get(address=address)
    units = arrived(address)
    change = request.token.terms.worth(units) - credited(address)
    if change > 0:
        _credit(address, request, units, change, now)
    elif change < 0:
        _take_back(address, request.token, units, -change, now)
    request.invoice.refresh_from_db()
    closed_at = None if request.invoice.status == Invoice.Status.OPEN else request.closed_at or now
    PaymentRequest.objects.filter(pk=request.pk).update(closed_at=closed_at)


def _credit(address: DepositAddress, request: PaymentRequest, units: int, amount: Decimal, now: datetime) -> None:
    token, reference = request.token, _reference(address, units)
    source, invoice = token.chain.caip2, request.invoice
    # A block's own time may lie ahead of this machine's: money is dated by when it was read.
    receive.receive(address.account_id, token.currency, amount, source, reference, now, now, invoice)
    _note(address, token, units, amount, reference, now)
    _make_up(request, now)


def _take_back(address: DepositAddress, token: Token, units: int, amount: Decimal, now: datetime) -> None:
    """Off what was credited last first."""
    reference = f"{_reference(address, units)}/reversed"
    notes = TransferCredit.objects.filter(address=address, amount__gt=0).order_by("-pk")
    left = amount
    for note in notes:
        money = MoneyIn.objects.get(source=token.chain.caip2, reference=note.reference)
        part = min(left, reversals.left(money))
        if part > 0:
            reversals.reverse(money, part, REORGANISED, reference, now)
            left -= part
    _note(address, token, units, amount - left, reference, now, sign=-1)


def _reference(address: DepositAddress, units: int) -> str:
    """Of all that had arrived by then. After a reversal the same sum is reached again: then it is another money."""
    taken_back = TransferCredit.objects.filter(address=address, amount__lt=0).count()
    return f"{address.address}/{units}" + (f"/{taken_back}" if taken_back else "")


def _note(
    address: DepositAddress, token: Token, units: int, amount: Decimal, reference: str, now: datetime, sign: int = 1
) -> None:
    if amount:
        TransferCredit.objects.create(
            address=address, token=token, upto_units=units, amount=sign * amount, reference=reference, created_at=now
        )


def _make_up(request: PaymentRequest, now: datetime) -> None:
    """A little that is missing is credited, where the token tolerates it."""
    invoice = request.invoice
    invoice.refresh_from_db()
    if invoice.status == Invoice.Status.OPEN and 0 < invoice.due <= request.token.tolerance:
        try:
            credit_notes.credit(invoice, invoice.due, MISSING, now)
        except BillingError:  # what can be credited is used up: it stays due
            return
