"""Money goes back to the card it came from, in parts, never more than came; disputes take it back."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing.invoicing.ledger import BillingError
from billing.models import CreditNote, Dispute, MoneyIn, Refund
from billing.payments import refunds as payouts
from billing.payments.cards import disputes, refunds
from billing.payments.cards.answers import NotApplicable
from billing.payments.cards.gateway import KEY_KEPT
from billing.payments.receive import receive
from tests.billing.ledger import assert_explained
from tests.billing.payments.cards.buyer import DAY, MINUTES, Buyer

pytestmark = pytest.mark.django_db
State = Refund.State
SECOND = timedelta(seconds=1)


@pytest.fixture
def payer(buyer: Buyer) -> Buyer:
    buyer.card()
    buyer.issued()
    assert buyer.is_paid
    return buyer


def refund(payer: Buyer, amount: Any) -> Refund:
    return refunds.refund(payer.gateway, payer.fresh(), Decimal(str(amount)), "asked for", payer.now)


def refunded(payer: Buyer) -> Decimal:
    answer = payer.gateway.fetch_charge(str(payer.attempts[-1].reference))
    return answer.value.refunded  # type: ignore[union-attr]


class TestRefunds:
    def test_a_part_goes_back(self, payer: Buyer) -> None:
        row = refund(payer, "9.99")
        assert (row.state, row.amount, refunded(payer)) == (State.SUCCEEDED, Decimal("9.99"), Decimal("9.99"))
        assert CreditNote.objects.get().amount == Decimal("9.99") and payer.balance == 0
        assert payer.is_paid
        assert_explained(payer.invoice.subscription)

    @pytest.mark.parametrize(("amount", "passes"), [("48.99", True), ("49.00", True), ("49.01", False)])
    def test_never_more_than_was_received(self, payer: Buyer, amount: str, passes: bool) -> None:
        if passes:
            refund(payer, amount)
            return
        with pytest.raises(BillingError, match="refund_out_of_bounds"):
            refund(payer, amount)
        assert not Refund.objects.exists() and not CreditNote.objects.exists() and refunded(payer) == 0

    def test_parts_add_up_to_what_was_received(self, payer: Buyer) -> None:
        refund(payer, 40)
        with pytest.raises(BillingError, match="refund_out_of_bounds"):
            refund(payer, "9.01")
        refund(payer, 9)
        assert refunded(payer) == 49

    def test_what_came_otherwise_does_not_go_to_a_card(self, buyer: Buyer) -> None:
        receive(buyer.account, "USD", Decimal(49), "bank", "1", buyer.now, buyer.now, buyer.invoice)
        with pytest.raises(BillingError, match="refund_out_of_bounds"):
            refund(buyer, 1)

    @pytest.mark.parametrize("later", [MINUTES, KEY_KEPT - SECOND, KEY_KEPT, KEY_KEPT + SECOND, 3 * DAY])
    @pytest.mark.parametrize("left", ["requested", "refuse", "error", "lose"])
    def test_one_whose_end_nobody_knows_is_given_back_once(self, payer: Buyer, left: str, later: timedelta) -> None:
        """However long nothing of the site runs: killed before the provider was asked, or without an answer of it."""
        if left == "requested":
            money = MoneyIn.objects.get()
            payouts.request_for_invoice(payer.fresh(), Decimal(10), "stripe", "asked for", payer.now, money)
        else:
            payer.server.fault(left, "POST /v1/refunds$")
            assert refund(payer, 10).state == State.UNKNOWN
        given = refunded(payer)
        assert given == (10 if left in ("lose", "error") else 0)
        before = payer.server.asked("POST /v1/refunds$")
        payer.beat(payer.now + later)
        assert (Refund.objects.get().state, refunded(payer)) == (State.SUCCEEDED, 10)
        if given and later >= KEY_KEPT:
            assert payer.server.asked("POST /v1/refunds$") == before, "without its key a second one"
        assert_explained(payer.invoice.subscription)

    def test_an_old_one_is_not_sent_while_the_provider_does_not_say_what_it_has(self, payer: Buyer) -> None:
        payer.server.fault("lose", "POST /v1/refunds$")
        refund(payer, 10)
        payer.server.fault("refuse", "GET /v1/refunds", times=10)
        payer.beat(payer.now + DAY)
        assert Refund.objects.get().state == State.UNKNOWN
        payer.server.forget_faults()
        payer.beat(payer.now + 2 * DAY)
        assert (Refund.objects.get().state, refunded(payer)) == (State.SUCCEEDED, 10)

    def test_an_event_of_it_changes_nothing_more(self, payer: Buyer) -> None:
        refund(payer, 10)
        for _ in range(2):
            payer.tell(payer.now)
        assert Refund.objects.count() == 1 and payer.balance == 0

    def test_one_made_at_the_provider_stands_on_the_list_of_staff(self, payer: Buyer) -> None:
        answer = payer.gateway.refund(str(payer.attempts[-1].reference), Decimal(1), "USD", refund="by hand")
        with pytest.raises(NotApplicable):
            refunds.apply_refund(payer.gateway, answer.value, payer.now)  # type: ignore[union-attr]


class TestDisputes:
    def opened(self, payer: Buyer) -> str:
        dispute = payer.server.dispute(payment=payer.attempts[-1].reference)
        payer.tell(payer.now)
        return str(dispute["id"])

    def test_opened_it_is_only_told(self, payer: Buyer) -> None:
        self.opened(payer)
        row = Dispute.objects.get()
        assert (row.state, row.amount, row.invoice) == ("open", 49, payer.invoice)
        assert payer.is_paid and len(payer.happened("dispute.opened")) == 1

    def test_lost_the_invoice_is_open_and_past_due(self, payer: Buyer) -> None:
        reference = self.opened(payer)
        payer.server.close_dispute(reference=reference, status="lost")
        for _ in range(2):
            payer.tell(payer.now + DAY)
        row = Dispute.objects.get()
        assert (row.state, row.fee, row.fee_currency) == ("lost", 15, "USD")
        assert payer.fresh().due == 49 and payer.past_due_since == payer.now + DAY
        assert MoneyIn.objects.get().reversals.get().reference == reference
        assert_explained(payer.invoice.subscription)

    def test_won_nothing_changes(self, payer: Buyer) -> None:
        payer.server.close_dispute(reference=self.opened(payer), status="won")
        payer.tell(payer.now + DAY)
        assert Dispute.objects.get().state == "won" and payer.is_paid and payer.past_due_since is None

    def test_the_event_of_the_charge_comes_after_that_of_the_dispute(self, buyer: Buyer) -> None:
        buyer.card()
        buyer.server.fault("lose", "POST /v1/payment_intents$")
        attempt = buyer.issued()
        found = buyer.gateway.find_charge(
            buyer.customer.user.provider_customers.get().reference, str(attempt.pk), buyer.now - DAY
        )
        charge = found.value  # type: ignore[union-attr]
        dispute = buyer.server.dispute(payment=charge.reference)
        answer = buyer.gateway.fetch_dispute(dispute["id"])
        disputes.apply_dispute(buyer.gateway, answer.value, buyer.now)  # type: ignore[union-attr]
        assert buyer.is_paid and Dispute.objects.get().money_in.reference == charge.reference
