"""Disputes: opened, staff are told; lost, the money is taken back and the invoice is past due; won, nothing."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from billing.invoicing import past_due
from billing.invoicing.ledger import lock
from billing.models import Dispute, Invoice, MoneyIn
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.payments import reversals
from billing.payments.cards.answers import Answered, CardDispute, DisputeState, NotApplicable
from billing.payments.cards.charging.provider_reports import apply_charge
from billing.payments.cards.gateway import Gateway

CLOSED = {DisputeState.WON: Dispute.State.WON, DisputeState.LOST: Dispute.State.LOST}


def apply_dispute(gateway: Gateway, dispute: CardDispute, now: datetime) -> None:
    """What the provider says of a dispute, however often. Raises NotApplicable for money that never came in."""
    money = _money(gateway, dispute) or _money_after_asking(gateway, dispute, now)
    with transaction.atomic():
        lock(money.account_id)
        row, is_new = Dispute.objects.get_or_create(
            provider=gateway.name,
            reference=dispute.reference,
            defaults={
                "account_id": money.account_id,
                "invoice_id": money.invoice_id,
                "money_in": money,
                "amount": dispute.amount,
                "currency": dispute.currency,
                "reason": dispute.reason[:60],
                "opened_at": now,
            },
        )
        if is_new:
            record(Happened.DISPUTE_OPENED, row.account_id, dispute=row.pk)
        if row.state == Dispute.State.OPEN and dispute.state in CLOSED:
            _close(row, dispute, now)


def _close(row: Dispute, dispute: CardDispute, now: datetime) -> None:
    row.state, row.closed_at = CLOSED[dispute.state], now
    row.fee, row.fee_currency = dispute.fee, dispute.fee_currency
    row.save()
    record(Happened.DISPUTE_CLOSED, row.account_id, dispute=row.pk, state=row.state)
    left = min(row.amount, reversals.left(row.money_in))
    if row.state != Dispute.State.LOST or not left:
        return
    reversal = reversals.reverse(row.money_in, left, "disputed with the bank", row.reference, now)
    # No card is charged again for it by itself.
    for invoice in Invoice.objects.due().filter(payments__reversal=reversal).distinct():
        past_due.begin(invoice, now)


def _money(gateway: Gateway, dispute: CardDispute) -> MoneyIn | None:
    return MoneyIn.objects.filter(source=gateway.name, reference=dispute.charge).first()


def _money_after_asking(gateway: Gateway, dispute: CardDispute, now: datetime) -> MoneyIn:
    """The event of the charge may come later than that of its dispute."""
    charge = gateway.fetch_charge(dispute.charge)
    if isinstance(charge, Answered):
        apply_charge(gateway, charge.value, now)
    money = _money(gateway, dispute)
    if money is None:
        raise NotApplicable("It is about a charge that never came in.")
    return money
