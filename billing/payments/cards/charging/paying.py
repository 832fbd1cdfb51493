"""A customer pays an invoice by card, now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from billing.invoicing.ledger import BillingError
from billing.models import Invoice, PaymentAttempt, PaymentMethod
from billing.payments.cards import methods
from billing.payments.cards.charging import attempts, automatic, pages
from billing.payments.cards.charging.attempts import AttemptRunning, Cause, State
from billing.payments.cards.charging.pages import Ways
from billing.payments.cards.gateway import Gateway
from billing.rules.payments.declines import DeclineKind


class Outcome(StrEnum):
    PAID = "paid"
    PROCESSING = "processing"
    """The provider is at it, or its answer was lost; what became of it is found out."""
    ACTION_REQUIRED = "action_required"
    """The customer goes on at `url`."""


@dataclass(frozen=True, slots=True)
class Paying:
    outcome: Outcome
    url: str = ""


class ChargeDeclined(BillingError):
    """The card was declined. `retryable`: the same card may pass on another day."""

    code = "payment_failed"

    def __init__(self, attempt: PaymentAttempt) -> None:
        self.decline_code, self.retryable = attempt.decline_code, attempt.kind != DeclineKind.HARD
        super().__init__(invoice=str(attempt.invoice), decline_code=attempt.decline_code)


def pay(gateway: Gateway, invoice: Invoice, method: PaymentMethod | None, ways: Ways, now: datetime) -> Paying:
    """Charge a saved card; without one the default, and where there is none, lead to the provider's page.

    In no transaction. Raises BillingError `not_payable`, ChargeDeclined, and ProviderUnreachable where no page can be
    had.
    """
    method = method or methods.default_method(invoice.account_id)
    if method is None:
        return by_page(gateway, invoice, ways, now)
    try:
        attempt = _begin(gateway, invoice, method, now)
    except AttemptRunning:
        return Paying(Outcome.PROCESSING)
    attempt = automatic.send(gateway, attempt, now)
    if attempt.state == State.SUCCEEDED:
        return Paying(Outcome.PAID)
    if attempt.state == State.NEEDS_ACTION:
        return by_page(gateway, invoice, ways, now)
    if attempt.state == State.FAILED:
        raise ChargeDeclined(attempt)
    return Paying(Outcome.PROCESSING)


def by_page(gateway: Gateway, invoice: Invoice, ways: Ways, now: datetime) -> Paying:
    """Lead to the provider's page, where any card can be given. Raises as `pay`."""
    try:
        page = pages.open_page(gateway, invoice, ways, now)
    except AttemptRunning:
        return Paying(Outcome.PROCESSING)
    return Paying(Outcome.ACTION_REQUIRED, page.url)


def _begin(gateway: Gateway, invoice: Invoice, method: PaymentMethod, now: datetime) -> PaymentAttempt:
    try:
        return attempts.begin(invoice, method, Cause.CUSTOMER, gateway.name, now)
    except AttemptRunning as running:
        if running.attempt.state != State.NEEDS_ACTION:
            raise
        pages.end(gateway, running.attempt, now)
    return attempts.begin(invoice, method, Cause.CUSTOMER, gateway.name, now)
