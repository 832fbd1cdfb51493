"""What the provider tells of charges and of pages that are open: brought to the attempt that they belong to."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from billing.models import PaymentAttempt, ProviderCustomer
from billing.payments.cards.answers import Answered, Charge, ChargeState, HostedPage, NotApplicable
from billing.payments.cards.charging import attempts
from billing.payments.cards.gateway import Gateway
from billing.payments.receive import receive


def apply_charge(gateway: Gateway, charge: Charge, now: datetime) -> None:
    """The state of a charge. One that staff made at the provider for a customer of ours is money of that account.

    Raises NotApplicable for money of somebody whom nobody here knows.
    """
    attempt = _attempt_of(charge)
    if attempt is not None:
        attempts.note(attempt.pk, Answered(charge), now)
    elif charge.state == ChargeState.SUCCEEDED:
        account = (
            ProviderCustomer.objects.filter(provider=gateway.name, reference=charge.customer or None)
            .values_list("account", flat=True)
            .first()
        )
        if account is None:
            raise NotApplicable("It is money of no customer that is known here.")
        receive(account, charge.currency, charge.amount, gateway.name, charge.reference, now, now)


def apply_page(gateway: Gateway, page: HostedPage, now: datetime) -> None:
    """A page was left, completed, or has expired."""
    attempt = PaymentAttempt.objects.filter(page_reference=page.reference).first()
    if attempt is None:
        return  # a page on which a card is saved
    if page.charge is not None:
        attempt = attempts.note(attempt.pk, Answered(page.charge), now)
    if not page.is_open and attempt.state == PaymentAttempt.State.NEEDS_ACTION:
        attempts.cancel(attempt.pk, now)


def _attempt_of(charge: Charge) -> PaymentAttempt | None:
    known = PaymentAttempt.objects.filter(reference=charge.reference).first()
    if known is not None or not charge.attempt:
        return known
    try:
        return PaymentAttempt.objects.filter(pk=UUID(charge.attempt)).first()
    except ValueError:
        return None
