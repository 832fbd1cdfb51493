"""Giving money back to the card it came from: a credit note, the balance, and then the provider's refund."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from billing.invoicing.ledger import BillingError
from billing.models import Invoice, MoneyIn, Refund
from billing.models.invoicing.invoices import NOTHING
from billing.payments import refunds
from billing.payments.cards.answers import Answer, Answered, CardRefund, NotApplicable, RefundState, Unknown
from billing.payments.cards.gateway import KEY_KEPT, Gateway
from billing.rules.money import in_currency

State = Refund.State
PAUSE: Final = timedelta(minutes=1)
BATCH: Final = 500
STATES: Final = {
    RefundState.PENDING: State.SENT,
    RefundState.SUCCEEDED: State.SUCCEEDED,
    RefundState.FAILED: State.FAILED,
}


def refundable(invoice: Invoice, provider: str) -> list[tuple[MoneyIn, Decimal]]:
    """What came for an invoice by card and can still go back there: the newest money first, with the most of each."""
    rows = MoneyIn.objects.filter(source=provider, payments__invoice=invoice).distinct().order_by("-received_at", "-pk")
    given = {row.pk: refunds.left_of(row) for row in rows}
    return [(row, given[row.pk]) for row in rows if given[row.pk] > 0]


def refund(gateway: Gateway, invoice: Invoice, amount: Decimal, reason: str, now: datetime) -> Refund:
    """Credit an amount of an invoice and give it back to the card. In no transaction.

    Raises BillingError `refund_out_of_bounds` above what one charge of the invoice has left, and what
    `request_for_invoice` raises.
    """
    able: Sequence[tuple[MoneyIn, Decimal]] = refundable(invoice, gateway.name)
    money = next((row for row, left in able if left >= amount), None)
    if money is None:
        most = in_currency(max((left for _, left in able), default=NOTHING), invoice.currency)
        raise BillingError("refund_out_of_bounds", most=most, currency=invoice.currency)
    row = refunds.request_for_invoice(invoice, amount, gateway.name, reason, now, money)
    return send(gateway, row, now)


def send(gateway: Gateway, row: Refund, now: datetime) -> Refund:
    """Ask the provider for a refund; asked again it is the same one. In no transaction."""
    money = row.money_in
    assert money is not None
    row = refunds.advance(row, State.SENT, now)
    answer = gateway.refund(money.reference, row.amount, row.currency, refund=_key(row))
    return _note(row, answer, now)


def _key(row: Refund) -> str:
    """Another database of the same provider's account counts its rows from 1 as well."""
    return f"refund-{row.pk}-{int(row.requested_at.timestamp() * 1000)}"


def _note(row: Refund, answer: Answer[CardRefund], now: datetime) -> Refund:
    if isinstance(answer, Answered):
        return refunds.advance(row, STATES[answer.value.state], now, answer.value.reference)
    return refunds.advance(row, State.UNKNOWN if isinstance(answer, Unknown) else State.FAILED, now)


def apply_refund(gateway: Gateway, refund: CardRefund, now: datetime) -> None:
    """The state of a refund. Raises NotApplicable for one that was not made here: staff credit what it was for."""
    rows = Refund.objects.filter(provider=gateway.name)
    row = rows.filter(reference=refund.reference).first()
    if row is None and refund.refund.startswith("refund-"):
        row = rows.filter(pk=int(refund.refund.split("-")[1])).first()
        row = row if row is not None and _key(row) == refund.refund else None
    if row is None:
        raise NotApplicable("It was made at the provider: credit what it was for, and note it as paid out.")
    _note(row, Answered(refund), now)


def sweep(gateway: Gateway, now: datetime, goes_on: Callable[[], bool] = lambda: True) -> int:
    """Find out about refunds whose end nobody knows, while it `goes_on`; how many were asked about."""
    waiting = Refund.objects.filter(provider=gateway.name, changed_at__lte=now - PAUSE, money_in__isnull=False)
    waiting = waiting.filter(state__in=(State.REQUESTED, State.SENT, State.UNKNOWN)).order_by("changed_at")
    asked = 0
    for row in waiting.select_related("money_in")[:BATCH]:
        if not goes_on():
            break
        if row.reference:
            _note(row, gateway.fetch_refund(row.reference), now)
        elif row.requested_at > now - KEY_KEPT:
            send(gateway, row, now)
        else:
            _look_for(gateway, row, now)
        asked += 1
    return asked


def _look_for(gateway: Gateway, row: Refund, now: datetime) -> None:
    """Sent again at once it could be given back twice: it is, once the provider says that it has no such refund."""
    assert row.money_in is not None
    found = gateway.find_refund(row.money_in.reference, _key(row))
    if not isinstance(found, Answered):
        return
    if found.value is None:
        send(gateway, row, now)
    else:
        _note(row, Answered(found.value), now)
