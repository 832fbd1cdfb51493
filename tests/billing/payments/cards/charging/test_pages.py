"""Paying on the provider's page: confirming with the bank, giving another card, leaving it, coming back."""

from __future__ import annotations

import pytest

from billing.models import PaymentAttempt, ProviderCustomer
from billing.payments.cards import methods
from billing.payments.cards.charging import pages, paying
from billing.payments.cards.charging.attempts import State
from billing.payments.cards.charging.pages import ProviderUnreachable, Ways
from billing.payments.cards.charging.paying import ChargeDeclined, Outcome
from billing.payments.receive import receive
from tests.billing.payments.cards.buyer import DAY, MINUTES, Buyer
from tests.servers.card.running import CONFIRMED_ALWAYS, DECLINED_LATER, VISA

pytestmark = pytest.mark.django_db
WAYS = Ways("http://site.example/paid/?page={page}", "http://site.example/pay/")


def pay(buyer: Buyer, method: object = None) -> paying.Paying:
    return paying.pay(buyer.gateway, buyer.fresh(), method, WAYS, buyer.now)  # type: ignore[arg-type]


def by_page(buyer: Buyer) -> str:
    paid = paying.by_page(buyer.gateway, buyer.fresh(), WAYS, buyer.now)
    assert paid.outcome == Outcome.ACTION_REQUIRED
    return paid.url


def come_back(buyer: Buyer, there: str) -> PaymentAttempt | None:
    return pages.returned(buyer.gateway, buyer.fresh(), there.partition("page=")[2], buyer.now)


class TestConfirming:
    def test_it_is_paid_by_the_link(self, buyer: Buyer) -> None:
        buyer.card(CONFIRMED_ALWAYS)
        assert buyer.issued().state == State.NEEDS_ACTION
        assert buyer.attempts[0].kind == "action" and not buyer.is_paid
        back = come_back(buyer, buyer.server.fill_in(by_page(buyer), CONFIRMED_ALWAYS, "yes"))
        assert back is not None and back.state == State.SUCCEEDED
        assert buyer.states == ["canceled", "succeeded"] and buyer.is_paid and buyer.balance == 0

    def test_the_customer_never_comes_back_and_the_event_tells(self, buyer: Buyer) -> None:
        buyer.card(CONFIRMED_ALWAYS)
        buyer.issued()
        buyer.server.fill_in(by_page(buyer), CONFIRMED_ALWAYS, "yes")
        buyer.tell(buyer.now)
        assert buyer.is_paid

    def test_neither_the_customer_nor_the_event_comes_and_the_sweep_looks(self, buyer: Buyer) -> None:
        buyer.card(CONFIRMED_ALWAYS)
        buyer.issued()
        buyer.server.fill_in(by_page(buyer), CONFIRMED_ALWAYS, "yes")
        buyer.beat(buyer.now + MINUTES * 6)
        assert buyer.is_paid

    def test_by_a_customer_whom_the_provider_has_deleted(self, buyer: Buyer) -> None:
        buyer.card()
        buyer.gateway.delete_customer(ProviderCustomer.objects.get().reference)
        assert buyer.server.fill_in(by_page(buyer))
        buyer.tell(buyer.now)
        assert buyer.is_paid

    def test_it_fails_at_the_bank_and_the_page_stays_open(self, buyer: Buyer) -> None:
        buyer.card(CONFIRMED_ALWAYS)
        buyer.issued()
        page = by_page(buyer)
        assert buyer.server.fill_in(page, CONFIRMED_ALWAYS, "no") == ""
        buyer.tell(buyer.now)
        assert buyer.states == ["canceled", "needs_action"] and not buyer.is_paid
        assert by_page(buyer) == page, "the same page, and no second one to pay on"
        assert buyer.server.fill_in(page, VISA)
        buyer.tell(buyer.now)
        assert buyer.is_paid

    def test_a_page_that_was_left_ends_and_dunning_goes_on(self, buyer: Buyer) -> None:
        buyer.card(CONFIRMED_ALWAYS)
        buyer.issued()
        by_page(buyer)
        page = buyer.attempts[-1].page_reference
        buyer.gateway.end_page(str(page))
        buyer.beat(buyer.now + MINUTES * 6)
        assert buyer.states == ["canceled", "canceled"]
        assert buyer.attempts[-1].next_try_at == buyer.now + DAY


class TestPayNow:
    def test_without_a_card_it_leads_to_the_page(self, buyer: Buyer) -> None:
        paid = pay(buyer)
        assert paid.outcome == Outcome.ACTION_REQUIRED
        back = come_back(buyer, buyer.server.fill_in(paid.url, VISA))
        assert back is not None and back.state == State.SUCCEEDED and buyer.is_paid

    def test_a_card_that_is_given_on_the_page_is_not_kept(self, buyer: Buyer) -> None:
        """Nobody was asked: whoever wants later invoices to be charged adds a card under *Payment methods*."""
        page = by_page(buyer)
        assert buyer.server.fill_in(page, DECLINED_LATER) == ""
        buyer.tell(buyer.now)
        assert methods.methods_of(buyer.account) == []
        assert buyer.server.fill_in(page, VISA)
        buyer.tell(buyer.now)
        assert buyer.is_paid and methods.methods_of(buyer.account) == []

    def test_with_a_card_it_is_charged(self, buyer: Buyer) -> None:
        assert pay(buyer, buyer.card()).outcome == Outcome.PAID
        assert buyer.is_paid and [row.cause for row in buyer.attempts] == ["customer"]

    @pytest.mark.parametrize(("code", "retryable"), [("insufficient_funds", True), ("lost_card", False)])
    def test_a_decline_is_said_and_leads_to_nothing_else(self, buyer: Buyer, code: str, retryable: bool) -> None:
        card = buyer.declining(code)
        with pytest.raises(ChargeDeclined) as declined:
            pay(buyer, card)
        assert (declined.value.decline_code, declined.value.retryable) == (code, retryable)
        assert buyer.past_due_since is None and buyer.attempts[0].next_try_at is None

    def test_a_decline_in_dunning_leaves_the_next_day_as_it_was(self, buyer: Buyer) -> None:
        card = buyer.declining("insufficient_funds")
        buyer.issued()
        with pytest.raises(ChargeDeclined):
            pay(buyer, card)
        assert [row.next_try_at for row in buyer.attempts] == [None, buyer.now + DAY]

    def test_a_bank_that_asks_leads_to_the_page_at_once(self, buyer: Buyer) -> None:
        paid = pay(buyer, buyer.card(CONFIRMED_ALWAYS))
        assert paid.outcome == Outcome.ACTION_REQUIRED
        assert buyer.server.fill_in(paid.url, CONFIRMED_ALWAYS, "yes")
        buyer.tell(buyer.now)
        assert buyer.is_paid

    def test_a_lost_answer_is_processing_and_pressed_again_it_still_is(self, buyer: Buyer) -> None:
        card = buyer.card()
        buyer.server.fault("lose", "POST /v1/payment_intents$")
        for _ in range(2):
            assert pay(buyer, card).outcome == Outcome.PROCESSING
        assert buyer.charged == 1 and buyer.states == ["unknown"]

    def test_a_page_asks_for_what_is_still_due(self, buyer: Buyer) -> None:
        first = by_page(buyer)
        receive(buyer.account, "USD", buyer.invoice.due - 1, "bank", "1", buyer.now, buyer.now, buyer.invoice)
        second = by_page(buyer)
        assert second != first and buyer.states == ["canceled", "needs_action"]
        assert buyer.server.fill_in(first) == "", "the first page has ended"
        buyer.server.fill_in(second)
        buyer.tell(buyer.now)
        assert buyer.is_paid and buyer.balance == 0

    @pytest.mark.parametrize("fault", ["refuse", "lose"])
    def test_without_an_answer_there_is_no_page_and_nothing_to_pay_by(self, buyer: Buyer, fault: str) -> None:
        buyer.server.fault(fault, "POST /v1/checkout/sessions$")
        with pytest.raises(ProviderUnreachable):
            by_page(buyer)
        assert buyer.states == ["canceled"]
        assert by_page(buyer)

    def test_a_page_of_an_invoice_that_was_paid_otherwise_is_ended(self, buyer: Buyer) -> None:
        page = by_page(buyer)
        receive(buyer.account, "USD", buyer.invoice.due, "bank", "1", buyer.now, buyer.now, buyer.invoice)
        buyer.beat(buyer.now + MINUTES * 6)
        assert buyer.states == ["canceled"]
        assert buyer.server.fill_in(page) == ""
