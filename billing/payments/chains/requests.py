"""A customer wants to pay an invoice in a token: the address to pay to, and how the payment stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from django.db import transaction
from django.db.models import Sum

from billing.invoicing.ledger import lock_account
from billing.models import Invoice, Payment, PaymentRequest, SeenTransfer, Token, TransferCredit
from billing.models.invoicing.invoices import NOTHING
from billing.payments.chains import addresses, configuration, credit, uri
from billing.payments.chains.refusals import ChainRefused

SHOWN_FOR: Final = timedelta(days=1)


class State(StrEnum):
    """What the customer sees. It is derived anew each time."""

    WAITING = "waiting"
    SEEN = "seen"
    """Something is in a block that does not count yet."""
    PART_PAID = "part_paid"
    PAID = "paid"
    OVER = "over"
    """Paid, and more than was due: the rest went to other invoices, or is balance."""
    REVERSED = "reversed"
    """What had arrived is gone again with its block."""
    CLOSED = "closed"
    """Nothing is due: the invoice was paid otherwise, or is void."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the payment of a request stands. Amounts are in the invoice's currency."""

    state: State
    due: Decimal
    """What remains due on the invoice."""
    to_send: Decimal
    """The same, less what is on its way."""
    credited: Decimal
    on_its_way: Decimal
    confirmations: int
    """Of the last block that something is on its way in."""
    needed: int
    over: Decimal


@dataclass(frozen=True, slots=True)
class Instructions:
    """What a wallet needs."""

    token: Token
    address: str
    amount: Decimal
    uri: str
    qr: str
    """An SVG."""
    shown_until: datetime


def request_payment(invoice: Invoice, token: Token, now: datetime) -> PaymentRequest:
    """The invoice's request in this token: made, or the one that there is, with its address, shown for longer.

    Raises ChainRefused `not_payable` for an invoice that is not open, and `token_not_payable`.
    """
    with transaction.atomic():
        lock_account(invoice)
        if invoice.status != Invoice.Status.OPEN:
            raise ChainRefused("not_payable", invoice=str(invoice), status=invoice.status)
        if token not in configuration.payable(invoice.currency):
            raise ChainRefused("token_not_payable", token=token.symbol, currency=invoice.currency)
        until = now + SHOWN_FOR
        known = PaymentRequest.objects.select_related("token__chain", "address", "invoice")
        request = known.filter(invoice=invoice, token=token).first()
        if request is not None:
            request.shown_until = until
            request.save(update_fields=["shown_until"])
            return request
        address = addresses.give_out(token.chain, invoice, now)
        units = token.terms.units(invoice.due)
        return PaymentRequest.objects.create(
            invoice=invoice, token=token, address=address, units=units, shown_until=until, created_at=now
        )


def instructions(request: PaymentRequest, amount: Decimal) -> Instructions:
    """How to pay an amount above 0, in the invoice's currency, to the request's address."""
    token, address = request.token, request.address.address
    link = uri.transfer_uri(token.chain.chain_id, token.contract, address, token.terms.units(amount))
    return Instructions(token, address, amount, link, uri.qr_svg(link), request.shown_until)


def standing(request: PaymentRequest) -> Standing:
    address, token, invoice = request.address, request.token, request.invoice
    seen = SeenTransfer.objects.filter(address=address)
    coming = int(seen.aggregate(sum=Sum("units"))["sum"] or 0)
    counted = credit.arrived(address)
    credited = credit.credited(address)
    on_its_way = token.terms.worth(counted + coming) - token.terms.worth(counted)
    newest = seen.order_by("-block_number").values_list("block_number", flat=True).first()
    head = token.chain.head_number
    confirmations = max(head - newest, 0) if head is not None and newest is not None else 0
    over = max(credited - _paid_on(invoice, request), NOTHING)
    return Standing(
        _state(request, bool(coming), credited, over),
        invoice.due,
        max(invoice.due - on_its_way, NOTHING),
        credited,
        on_its_way,
        min(confirmations, token.chain.confirmations),
        token.chain.confirmations,
        over,
    )


def _state(request: PaymentRequest, is_coming: bool, credited: Decimal, over: Decimal) -> State:
    last = TransferCredit.objects.filter(address=request.address).order_by("-pk").first()
    if is_coming:
        return State.SEEN
    if last is not None and last.amount < 0:
        return State.REVERSED
    if not credited:
        return State.WAITING if request.invoice.status == Invoice.Status.OPEN else State.CLOSED
    if request.invoice.due:
        return State.PART_PAID
    return State.OVER if over else State.PAID


def _paid_on(invoice: Invoice, request: PaymentRequest) -> Decimal:
    """What of the invoice was paid by money of the request's address."""
    rows = Payment.objects.filter(
        invoice=invoice,
        money_in__source=request.token.chain.caip2,
        money_in__reference__startswith=f"{request.address.address}/",
    )
    return rows.aggregate(sum=Sum("amount"))["sum"] or NOTHING
