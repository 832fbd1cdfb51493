"""Paying on the provider's page: by another card, or to confirm a charge with the bank. One attempt a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from billing.invoicing.ledger import BillingError
from billing.models import Invoice, PaymentAttempt
from billing.payments.cards import methods
from billing.payments.cards.answers import Answer, Answered, HostedPage, Unknown
from billing.payments.cards.charging import attempts, provider_reports
from billing.payments.cards.charging.attempts import AttemptRunning, Cause, State
from billing.payments.cards.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Ways:
    """Where the provider's page leads back to, and its language. `{page}` becomes the page's reference."""

    done_url: str
    left_url: str
    language: str = ""


class ProviderUnreachable(BillingError):
    """The provider does not answer; nothing was begun that the customer could pay by."""

    code = "provider_unreachable"


def open_page(gateway: Gateway, invoice: Invoice, ways: Ways, now: datetime) -> HostedPage:
    """A page on which what is due on an invoice is paid; the one that is open already, where it asks for as much.

    A charge that waits to be confirmed is ended first. Raises BillingError `not_payable`, AttemptRunning while the
    provider is at an earlier charge, and ProviderUnreachable.
    """
    try:
        attempt = attempts.begin(invoice, None, Cause.CUSTOMER, gateway.name, now)
    except AttemptRunning as running:
        if running.attempt.state != State.NEEDS_ACTION:
            raise
        page = _open_already(gateway, running.attempt, invoice)
        if page is not None:
            return page
        end(gateway, running.attempt, now)
        attempt = attempts.begin(invoice, None, Cause.CUSTOMER, gateway.name, now)
    return _begin(gateway, attempt, ways, now)


def _begin(gateway: Gateway, attempt: PaymentAttempt, ways: Ways, now: datetime) -> HostedPage:
    attempts.claim(attempt, now)

    def ask(customer: str) -> Answer[HostedPage]:
        return gateway.begin_payment(
            customer,
            attempt.amount,
            attempt.currency,
            attempt=str(attempt.pk),
            description=str(attempt.invoice),
            done_url=ways.done_url,
            left_url=ways.left_url,
            language=ways.language,
        )

    answer = methods.for_customer(gateway, attempt.account_id, now, ask)
    if isinstance(answer, Answered):
        PaymentAttempt.objects.filter(pk=attempt.pk, state=State.SENT).update(
            state=State.NEEDS_ACTION, page_reference=answer.value.reference
        )
        return answer.value
    # Nobody was given the address of a page that may have been made all the same: nobody can pay there.
    attempts.cancel(attempt.pk, now)
    raise ProviderUnreachable(invoice=str(attempt.invoice), why=type(answer).__name__.lower())


def _open_already(gateway: Gateway, attempt: PaymentAttempt, invoice: Invoice) -> HostedPage | None:
    if not attempt.page_reference or attempt.amount != invoice.due:
        return None
    answer = gateway.fetch_page(attempt.page_reference)
    return answer.value if isinstance(answer, Answered) and answer.value.is_open and answer.value.url else None


def end(gateway: Gateway, attempt: PaymentAttempt, now: datetime) -> PaymentAttempt:
    """Let nobody pay any more by an attempt that waits for its customer. In no transaction.

    Where it was paid meanwhile, that is what is noted; where the provider does not answer, it goes on waiting.
    """
    if attempt.page_reference:
        gateway.end_page(attempt.page_reference)
        return look(gateway, attempt, now)
    if not attempt.reference:
        return attempts.cancel(attempt.pk, now)
    answer = gateway.cancel_charge(attempt.reference)
    if not isinstance(answer, Answered | Unknown):
        answer = gateway.fetch_charge(attempt.reference)  # too late: it has ended in another way
    if isinstance(answer, Answered):
        return attempts.note(attempt.pk, answer, now)
    return attempt


def look(gateway: Gateway, attempt: PaymentAttempt, now: datetime) -> PaymentAttempt:
    """Ask what became of the page of an attempt, and apply it. In no transaction."""
    assert attempt.page_reference
    answer = gateway.fetch_page(attempt.page_reference)
    if not isinstance(answer, Answered):
        return attempt
    provider_reports.apply_page(gateway, answer.value, now)
    return PaymentAttempt.objects.get(pk=attempt.pk)


def returned(gateway: Gateway, invoice: Invoice, page: str, now: datetime) -> PaymentAttempt | None:
    """The customer comes back from a page: what became of it. None where it is no page of this invoice."""
    attempt = PaymentAttempt.objects.filter(invoice=invoice, page_reference=page).first()
    return attempt if attempt is None or not attempt.is_live else look(gateway, attempt, now)
