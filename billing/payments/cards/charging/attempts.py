"""The rows of tries to charge a card, each step a transaction of its own: the provider is called between them.

The account's lock is taken first. What the provider says is applied by `note`, however often and in whichever order.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from billing.invoicing import past_due
from billing.invoicing.ledger import BillingError, lock, lock_account
from billing.models import Invoice, PaymentAttempt, PaymentMethod
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.payments.cards import methods
from billing.payments.cards.answers import Answer, Answered, Charge, ChargeState, Declined, Rejected, Unknown
from billing.payments.receive import receive
from billing.rules.ids import mint
from billing.rules.instants import to_ms
from billing.rules.payments.declines import DeclineKind
from billing.rules.payments.dunning import next_try

State, Cause = PaymentAttempt.State, PaymentAttempt.Cause
BY_ITSELF: Final = (Cause.ISSUED, Cause.RETRY, Cause.METHOD)
"""Causes of a charge that nobody is waiting for. With the first of them dunning begins."""
UNCHARGEABLE: Final = frozenset({"amount", "amount_too_small", "amount_too_large"})
"""No card is charged such an amount: another one does not help, so nothing becomes past due."""


class AttemptRunning(BillingError):
    """The end of an earlier attempt at the invoice is not known, and a second one might charge twice."""

    code = "attempt_running"

    def __init__(self, attempt: PaymentAttempt) -> None:
        self.attempt = attempt
        super().__init__(invoice=str(attempt.invoice), state=attempt.state)


def begin(invoice: Invoice, method: PaymentMethod | None, cause: str, provider: str, now: datetime) -> PaymentAttempt:
    """Write down that what is due on an invoice is going to be charged. It takes the place of a try that was planned.

    Raises BillingError `not_payable` where nothing is due, AttemptRunning, and `attempted` where the invoice was
    charged at its issue before, or by that other card.
    """
    with transaction.atomic():
        lock_account(invoice)
        if invoice.status != Invoice.Status.OPEN:
            raise BillingError("not_payable", invoice=str(invoice), status=invoice.status)
        running = PaymentAttempt.objects.live().filter(invoice=invoice).first()
        if running is not None:
            raise AttemptRunning(running)
        former = PaymentAttempt.objects.filter(invoice=invoice)
        alike = {Cause.ISSUED: former, Cause.METHOD: former.filter(method=method)}
        if cause in alike and alike[Cause(cause)].exists():
            raise BillingError("attempted", invoice=str(invoice))
        former.filter(next_try_at__isnull=False).update(next_try_at=None)
        return PaymentAttempt.objects.create(
            pk=UUID(mint(to_ms(now))),
            account_id=invoice.account_id,
            invoice=invoice,
            method=method,
            number=(former.aggregate(last=Max("number"))["last"] or 0) + 1,
            cause=cause,
            amount=invoice.due,
            currency=invoice.currency,
            provider=provider,
            created_at=now,
        )


def claim(attempt: PaymentAttempt, now: datetime, state: str = State.SENT) -> bool:
    """Take an attempt for one call of the provider. False where somebody else did, or it has ended meanwhile."""
    as_read = PaymentAttempt.objects.filter(pk=attempt.pk, state=attempt.state, sent_at=attempt.sent_at)
    if not as_read.update(state=state, sent_at=now):
        return False
    attempt.state, attempt.sent_at = state, now
    return True


def note(attempt: UUID, answer: Answer[Charge], now: datetime) -> PaymentAttempt:
    """Apply what the provider says of an attempt. Succeeded is final; an end gives way to a success alone."""
    with transaction.atomic():
        row = _locked(attempt)
        match answer:
            case Answered(value=charge):
                _note_charge(row, charge, now)
            case Declined():
                _note_decline(row, answer, now)
            case Rejected(code=code):
                kind = DeclineKind.HARD if answer.is_missing else DeclineKind.SOFT
                _note_decline(row, Declined(code, kind), now)
            case Unknown() if row.state == State.SENT:
                row.state = State.UNKNOWN
                row.save(update_fields=["state"])
        return row


def cancel(attempt: UUID, now: datetime) -> PaymentAttempt:
    """Nobody can pay by it any more: its page or its charge was ended at the provider, or never began there."""
    with transaction.atomic():
        row = _locked(attempt)
        if row.is_live:
            _end(row, State.CANCELED, now)
        return row


def _locked(attempt: UUID) -> PaymentAttempt:
    lock(PaymentAttempt.objects.values_list("account", flat=True).get(pk=attempt))
    return PaymentAttempt.objects.select_related("invoice").get(pk=attempt)


def _note_charge(row: PaymentAttempt, charge: Charge, now: datetime) -> None:
    if row.state == State.SUCCEEDED:
        return
    if charge.state == ChargeState.SUCCEEDED:
        _succeed(row, charge, now)
    elif not row.is_live:
        return
    elif charge.state == ChargeState.CANCELED and not row.page_reference:
        _end(row, State.CANCELED, now)
    elif charge.state in (ChargeState.FAILED, ChargeState.NEEDS_ACTION):
        code = "authentication_required"
        decline = charge.decline or Declined(code, DeclineKind.ACTION)
        if charge.state == ChargeState.NEEDS_ACTION:
            decline = Declined(decline.code, DeclineKind.ACTION, decline.message)
        _note_decline(row, Declined(decline.code, decline.kind, decline.message, charge.reference), now)
    elif charge.state == ChargeState.PROCESSING:  # the customer has done what there was to do
        row.state, row.reference = State.SENT, charge.reference
        row.save(update_fields=["state", "reference"])


def _succeed(row: PaymentAttempt, charge: Charge, now: datetime) -> None:
    row.state, row.reference, row.ended_at, row.next_try_at = State.SUCCEEDED, charge.reference, now, None
    row.decline_code, row.kind = "", ""
    row.save(update_fields=["state", "reference", "ended_at", "next_try_at", "decline_code", "kind"])
    receive(
        row.account_id, charge.currency, charge.amount, row.provider, charge.reference, now, now, invoice=row.invoice
    )
    record(Happened.CHARGE_SUCCEEDED, row.account_id, attempt=str(row.pk), invoice=row.invoice_id)


def _note_decline(row: PaymentAttempt, decline: Declined, now: datetime) -> None:
    """On the provider's page the customer may try another card, so a decline there ends nothing."""
    if not row.is_live:
        return
    row.decline_code, row.kind = decline.code[:60], decline.kind
    if row.page_reference:
        row.save(update_fields=["decline_code", "kind"])
        return
    row.reference = decline.reference or row.reference
    if decline.kind != DeclineKind.ACTION:
        _end(row, State.FAILED, now)
    elif row.state != State.NEEDS_ACTION:
        row.state = State.NEEDS_ACTION
        row.save()
        record(Happened.CHARGE_NEEDS_ACTION, row.account_id, attempt=str(row.pk), invoice=row.invoice_id)


def _end(row: PaymentAttempt, state: str, now: datetime) -> None:
    """Without money. What follows by itself is decided here; where nothing does, the invoice is past due."""
    row.state, row.ended_at, row.next_try_at = state, now, None
    row.save()
    first = PaymentAttempt.objects.filter(invoice=row.invoice_id, cause__in=BY_ITSELF).order_by("number").first()
    is_open = row.invoice.status == Invoice.Status.OPEN
    if is_open and first is not None and row.decline_code not in UNCHARGEABLE:
        if method_to_try(row.invoice) is not None:
            row.next_try_at = next_try(first.created_at, now, settings.DUNNING_DAYS)
        if row.next_try_at is None:
            past_due.begin(row.invoice, now)
        else:
            row.save(update_fields=["next_try_at"])
    if state == State.FAILED:
        then = {"next_try_at": row.next_try_at.isoformat()} if row.next_try_at else {}
        record(Happened.CHARGE_FAILED, row.account_id, attempt=str(row.pk), invoice=row.invoice_id, **then)


def method_to_try(invoice: Invoice) -> PaymentMethod | None:
    """The account's default method, unless this invoice was refused by it for good."""
    method = methods.default_method(invoice.account_id)
    refused = PaymentAttempt.objects.filter(invoice=invoice, method=method, kind=DeclineKind.HARD)
    return None if method is None or refused.exists() else method
