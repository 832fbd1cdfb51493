"""An invoice is charged once when it is issued; what could not be charged is tried at once with another card."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from billing.invoicing import credit_notes
from billing.invoicing.ledger import BillingError
from billing.models import Invoice, MoneyIn, OutboxMessage, PaymentAttempt, PaymentMethod
from billing.outbox.kinds import Happened
from billing.payments.cards.charging import attempts, automatic
from billing.payments.cards.charging.attempts import AttemptRunning, Cause, State
from billing.payments.cards.charging.consumer import charge
from billing.payments.receive import receive
from tests.billing.mails.mailing import happened
from tests.billing.payments.cards.buyer import DAY, MINUTES, Buyer

pytestmark = pytest.mark.django_db


def test_an_issued_invoice_is_charged_and_paid(buyer: Buyer) -> None:
    card = buyer.card()
    attempt = buyer.issued()
    assert (attempt.state, attempt.method, attempt.amount) == (State.SUCCEEDED, card, Decimal("49.0000"))
    assert buyer.is_paid and buyer.charged == 1
    money = MoneyIn.objects.get(account=buyer.account)
    assert (money.source, money.reference, money.amount) == ("stripe", attempt.reference, 49)
    assert buyer.happened("charge.succeeded") == [{"attempt": str(attempt.pk), "invoice": buyer.invoice.pk}]


def test_without_a_card_nothing_is_charged(buyer: Buyer) -> None:
    assert automatic.charge_issued(buyer.gateway, buyer.invoice, buyer.now) is None
    buyer.card()
    assert buyer.charged == 0 and not buyer.attempts


def test_told_again_it_is_not_charged_again(buyer: Buyer) -> None:
    buyer.declining("insufficient_funds")
    buyer.issued()
    for _ in range(3):
        assert automatic.charge_issued(buyer.gateway, buyer.fresh(), buyer.now + MINUTES) is None
    assert buyer.states == ["failed"] and buyer.charged == 1


def test_what_is_paid_or_void_makes_no_call(buyer: Buyer) -> None:
    buyer.card()
    credit_notes.void(buyer.invoice, buyer.now)
    assert automatic.charge_issued(buyer.gateway, buyer.fresh(), buyer.now) is None
    assert buyer.charged == 0


def test_only_what_is_still_due_is_charged(buyer: Buyer) -> None:
    buyer.card()
    receive(buyer.account, "USD", Decimal(20), "bank", "1", buyer.now, buyer.now, buyer.invoice)
    assert buyer.issued().amount == 29
    assert buyer.is_paid and buyer.balance == 0


def test_an_invoice_has_one_live_attempt(buyer: Buyer) -> None:
    card = buyer.card()
    first = attempts.begin(buyer.invoice, card, Cause.CUSTOMER, "stripe", buyer.now)
    with pytest.raises(AttemptRunning) as running:
        attempts.begin(buyer.invoice, card, Cause.CUSTOMER, "stripe", buyer.now)
    assert running.value.attempt == first
    automatic.send(buyer.gateway, first, buyer.now)
    with pytest.raises(BillingError, match="not_payable"):
        attempts.begin(buyer.invoice, card, Cause.CUSTOMER, "stripe", buyer.now)


def test_whoever_claims_an_attempt_sends_it_alone(buyer: Buyer) -> None:
    attempt = attempts.begin(buyer.invoice, buyer.card(), Cause.ISSUED, "stripe", buyer.now)
    seen_twice = PaymentAttempt.objects.get(pk=attempt.pk)
    assert attempts.claim(attempt, buyer.now)
    assert not attempts.claim(seen_twice, buyer.now)


class TestPaidOtherwiseWhileTheChargeFlies:
    """It cannot be called back: the money becomes balance, and nothing is lost."""

    def fly(self, buyer: Buyer) -> PaymentAttempt:
        buyer.server.fault("lose", "POST /v1/payment_intents$")
        attempt = attempts.begin(buyer.invoice, buyer.card(), Cause.ISSUED, "stripe", buyer.now)
        attempt = automatic.send(buyer.gateway, attempt, buyer.now)
        assert attempt.state == State.UNKNOWN
        return attempt

    def test_by_hand(self, buyer: Buyer) -> None:
        self.fly(buyer)
        receive(buyer.account, "USD", Decimal(49), "bank", "1", buyer.now, buyer.now, buyer.invoice)
        buyer.beat(buyer.now + MINUTES)
        assert buyer.states == ["succeeded"] and buyer.is_paid
        assert buyer.balance == 49 and buyer.charged == 1

    def test_voided(self, buyer: Buyer) -> None:
        self.fly(buyer)
        credit_notes.void(buyer.invoice, buyer.now)
        buyer.beat(buyer.now + MINUTES)
        assert buyer.fresh().status == Invoice.Status.VOID
        assert buyer.balance == 49 and buyer.charged == 1

    def test_a_charge_that_never_arrived_is_not_made_any_more(self, buyer: Buyer) -> None:
        buyer.server.fault("refuse", "POST /v1/payment_intents$")
        attempt = attempts.begin(buyer.invoice, buyer.card(), Cause.ISSUED, "stripe", buyer.now)
        automatic.send(buyer.gateway, attempt, buyer.now)
        credit_notes.void(buyer.invoice, buyer.now)
        buyer.beat(buyer.now + MINUTES)
        assert buyer.states == ["canceled"] and buyer.balance == 0 and buyer.charged == 0


class TestAnotherCard:
    def test_it_pays_at_once_what_a_lost_card_did_not(self, buyer: Buyer) -> None:
        buyer.declining("lost_card")
        buyer.issued()
        card = buyer.card()
        (attempt,) = automatic.begin_with(buyer.gateway, card, buyer.now + DAY / 2)
        assert (attempt.method, attempt.cause) == (card, Cause.METHOD)
        automatic.send(buyer.gateway, attempt, buyer.now + DAY / 2)
        assert buyer.is_paid and buyer.past_due_since is None

    @pytest.mark.parametrize("kind", [Happened.PAYMENT_METHOD_SAVED, Happened.PAYMENT_METHOD_DEFAULT_SET])
    def test_its_message_is_enough_also_where_it_is_not_the_default(self, buyer: Buyer, kind: Happened) -> None:
        buyer.declining("lost_card")
        buyer.issued()
        card = buyer.card()
        PaymentMethod.objects.filter(pk=card.pk).update(is_default=False)
        for _ in range(2):
            charge(happened(kind, buyer.account, method=card.pk))
        assert buyer.states == ["failed", "succeeded"] and buyer.is_paid

    def test_told_twice_it_tries_once(self, buyer: Buyer) -> None:
        buyer.declining("insufficient_funds")
        buyer.issued()
        card = buyer.declining("insufficient_funds")
        for _ in range(2):
            for attempt in automatic.begin_with(buyer.gateway, card, buyer.now + MINUTES):
                automatic.send(buyer.gateway, attempt, buyer.now + MINUTES)
        assert buyer.states == ["failed", "failed"] and buyer.charged == 2
        assert buyer.attempts[1].next_try_at == buyer.now + DAY, "the days count from the first try"

    def test_what_was_never_charged_waits_for_its_customer(self, buyer: Buyer) -> None:
        assert automatic.begin_with(buyer.gateway, buyer.card(), buyer.now) == []

    def test_it_takes_the_place_of_a_charge_that_waits_for_its_bank(self, buyer: Buyer) -> None:
        buyer.declining("authentication_required")
        assert buyer.issued().state == State.NEEDS_ACTION
        (attempt,) = automatic.begin_with(buyer.gateway, buyer.card(), buyer.now + MINUTES)
        automatic.send(buyer.gateway, attempt, buyer.now + MINUTES)
        assert buyer.states == ["canceled", "succeeded"] and buyer.is_paid


def test_an_issued_invoice_is_charged_by_its_message(buyer: Buyer) -> None:
    buyer.card()
    message = OutboxMessage.objects.get(kind=Happened.INVOICE_ISSUED, account=buyer.account)
    for _ in range(2):
        charge(message)
    assert buyer.states == ["succeeded"] and buyer.charged == 1


def test_without_cards_messages_do_nothing(buyer: Buyer, settings: Any) -> None:
    buyer.card()
    settings.STRIPE_SECRET_KEY = ""
    charge(OutboxMessage.objects.get(kind=Happened.INVOICE_ISSUED, account=buyer.account))
    assert buyer.attempts == []
