"""A lost answer is neither yes nor no: the same request is sent again, and what the provider says of it is applied."""

from __future__ import annotations

from datetime import timedelta

import pytest

from billing.models import MoneyIn, PaymentAttempt
from billing.payments.cards.answers import Answered
from billing.payments.cards.charging import attempts, automatic, sweep
from billing.payments.cards.charging.attempts import Cause, State
from billing.tasks import charge_cards
from tests.billing.payments.cards.buyer import DAY, MINUTES, Buyer

pytestmark = pytest.mark.django_db
CREATE = "POST /v1/payment_intents$"


@pytest.mark.parametrize("fault", ["lose", "error"])
def test_an_answer_was_lost_and_the_charge_has_succeeded(buyer: Buyer, fault: str) -> None:
    buyer.card()
    buyer.server.fault(fault, CREATE)
    assert buyer.issued().state == State.UNKNOWN
    assert not buyer.is_paid
    buyer.beat(buyer.now + MINUTES)
    assert buyer.states == ["succeeded"] and buyer.is_paid
    assert buyer.charged == 1, "the key was replayed"
    assert MoneyIn.objects.count() == 1


def test_an_answer_was_lost_and_the_charge_has_failed(buyer: Buyer) -> None:
    buyer.declining("insufficient_funds")
    buyer.server.fault("lose", CREATE)
    assert buyer.issued().state == State.UNKNOWN
    buyer.beat(buyer.now + MINUTES)
    (attempt,) = buyer.attempts
    assert (attempt.state, attempt.decline_code) == ("failed", "insufficient_funds")
    assert attempt.next_try_at == buyer.now + DAY
    assert buyer.charged == 1 and not buyer.is_paid


def test_the_provider_was_away_and_is_asked_again_under_the_same_key(buyer: Buyer) -> None:
    buyer.card()
    buyer.server.fault("refuse", CREATE, times=3)
    assert buyer.issued().state == State.UNKNOWN
    for minutes in (2, 4):
        buyer.beat(buyer.now + timedelta(minutes=minutes))
        assert buyer.states == ["unknown"] and buyer.charged == 0
    buyer.beat(buyer.now + timedelta(minutes=6))
    assert buyer.states == ["succeeded"] and buyer.charged == 1


def test_no_second_attempt_is_made_meanwhile(buyer: Buyer) -> None:
    buyer.card()
    buyer.server.fault("lose", CREATE)
    buyer.issued()
    with pytest.raises(attempts.AttemptRunning):
        attempts.begin(buyer.invoice, buyer.card(), Cause.CUSTOMER, "stripe", buyer.now)


@pytest.mark.parametrize("seconds", [0, 59])
def test_who_may_still_be_at_it_is_left_alone(buyer: Buyer, seconds: int) -> None:
    attempts.begin(buyer.invoice, buyer.card(), Cause.ISSUED, "stripe", buyer.now)
    assert sweep.work_off(buyer.gateway, buyer.now + timedelta(seconds=seconds)) == 0
    assert sweep.work_off(buyer.gateway, buyer.now + timedelta(seconds=60)) == 1
    assert buyer.is_paid, "its process has died before the call"


class TestAfterAKeyIsForgotten:
    """Providers keep a key for a day. Then the request is not repeated: the charge is looked for."""

    def begun_yesterday(self, buyer: Buyer, fault: str) -> PaymentAttempt:
        buyer.server.fault(fault, CREATE)
        card = buyer.card()
        attempt = attempts.begin(buyer.invoice, card, Cause.ISSUED, "stripe", buyer.now - DAY)
        return automatic.send(buyer.gateway, attempt, buyer.now - DAY)

    def test_it_is_found(self, buyer: Buyer) -> None:
        assert self.begun_yesterday(buyer, "lose").state == State.UNKNOWN
        buyer.beat(buyer.now)
        assert buyer.is_paid and buyer.charged == 1

    def test_it_never_arrived_and_is_tried_on_the_next_day(self, buyer: Buyer) -> None:
        self.begun_yesterday(buyer, "refuse")
        buyer.beat(buyer.now)
        (attempt,) = buyer.attempts
        assert (attempt.state, attempt.decline_code) == ("failed", "never_arrived")
        assert attempt.next_try_at == attempt.created_at + 3 * DAY and buyer.charged == 0


class TestApplying:
    def test_succeeded_is_final(self, buyer: Buyer) -> None:
        buyer.card()
        attempt = buyer.issued()
        charge = buyer.gateway.fetch_charge(str(attempt.reference))
        for _ in range(2):
            attempts.note(attempt.pk, charge, buyer.now)
        assert attempts.cancel(attempt.pk, buyer.now).state == State.SUCCEEDED
        assert MoneyIn.objects.count() == 1 and buyer.balance == 0

    def test_money_that_comes_after_a_failure_counts(self, buyer: Buyer) -> None:
        """The row says that it failed; the provider says that it was paid."""
        buyer.card()
        buyer.server.fault("lose", CREATE)
        attempt = buyer.issued()
        attempts.cancel(attempt.pk, buyer.now)
        buyer.tell(buyer.now)
        assert buyer.states == ["succeeded"] and buyer.is_paid

    def test_events_find_what_the_sweep_would(self, buyer: Buyer) -> None:
        buyer.card()
        buyer.server.fault("lose", CREATE)
        buyer.issued()
        for _ in range(2):
            buyer.tell(buyer.now)
        assert buyer.states == ["succeeded"] and buyer.is_paid and MoneyIn.objects.count() == 1

    def test_staff_can_ask_at_once(self, buyer: Buyer) -> None:
        buyer.card()
        buyer.server.fault("lose", CREATE)
        attempt = buyer.issued()
        assert sweep.ask(buyer.gateway, attempt, buyer.now).state == State.SUCCEEDED


def test_a_charge_that_staff_made_at_the_provider_is_money_of_its_customer(buyer: Buyer) -> None:
    card = buyer.card()
    customer = buyer.gateway.fetch_card(card.reference)
    assert isinstance(customer, Answered)
    buyer.gateway.charge(
        customer.value.customer, card.reference, buyer.invoice.due, "USD", attempt="by hand", description=""
    )
    buyer.tell(buyer.now)
    assert buyer.is_paid and not buyer.attempts


def test_a_key_of_a_request_that_was_not_quite_the_same_says_nothing(buyer: Buyer) -> None:
    """Such as when the provider's customer was made anew meanwhile: the first request may have been executed."""
    buyer.card()
    buyer.server.fault("lose", CREATE)
    attempt = buyer.issued()
    PaymentAttempt.objects.filter(pk=attempt.pk).update(amount=1)
    buyer.beat(buyer.now + MINUTES)
    assert buyer.states == ["unknown"] and buyer.charged == 1
    buyer.tell(buyer.now + MINUTES)
    assert buyer.states == ["succeeded"] and buyer.is_paid


def test_a_page_whose_process_died_before_anybody_saw_it_is_given_up(buyer: Buyer) -> None:
    attempt = attempts.begin(buyer.invoice, None, Cause.CUSTOMER, "stripe", buyer.now)
    attempts.claim(attempt, buyer.now)
    buyer.beat(buyer.now + MINUTES)
    assert buyer.states == ["canceled"]


def test_a_charge_by_a_card_that_was_erased_meanwhile_is_found(buyer: Buyer) -> None:
    card = buyer.card()
    buyer.server.fault("lose", CREATE)
    buyer.issued()
    card.delete()
    buyer.beat(buyer.now + MINUTES)
    assert buyer.states == ["succeeded"] and buyer.is_paid and buyer.charged == 1


def test_the_task_does_all_of_it(buyer: Buyer) -> None:
    attempts.begin(buyer.invoice, buyer.card(), Cause.ISSUED, "stripe", buyer.now - MINUTES)
    charge_cards()
    assert buyer.states == ["succeeded"] and buyer.is_paid


def test_a_run_ends_in_time_while_the_provider_hangs(buyer: Buyer) -> None:
    attempts.begin(buyer.invoice, buyer.card(), Cause.ISSUED, "stripe", buyer.now)
    assert sweep.work_off(buyer.gateway, buyer.now + MINUTES, lambda: False) == 0
    assert buyer.states == ["created"]
