"""Staff at charges by card: look at them, ask the provider, give money back; and what the customer's page says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from billing.models import CreditNote, Dispute, Refund
from tests.billing.payments.cards.buyer import DAY, Buyer, buyer
from tests.billing.payments.money import invoiced
from tests.billing.staff import text_of
from tests.cast import Staff

pytestmark = pytest.mark.django_db
__all__ = ["buyer"]
SEEN = re.compile(r'name="seen" value="([^"]*)"')


def test_attempts_are_listed_with_why_they_were_declined(buyer: Buyer, superuser: Staff) -> None:
    buyer.declining("insufficient_funds")
    attempt = buyer.issued()
    listed = text_of(superuser.open("billing/paymentattempt/?state__exact=failed"))
    assert "carol" in listed and "insufficient_funds" in listed and "49.00" in listed
    assert "INV-000001" in text_of(superuser.open(f"billing/paymentattempt/{attempt.pk}/change/"))


def test_the_provider_is_asked_at_once(buyer: Buyer, superuser: Staff) -> None:
    buyer.card()
    buyer.server.fault("lose", "POST /v1/payment_intents$")
    attempt = buyer.issued()
    page = f"billing/paymentattempt/{attempt.pk}/ask/"
    assert "Ask the provider now" in text_of(superuser.open(f"billing/paymentattempt/{attempt.pk}/change/"))
    superuser.open(page)
    assert buyer.states == ["unknown"], "looking asks nobody"
    said = superuser.client.post(f"/admin/{page}", follow=True)
    assert "It is succeeded." in text_of(said) and buyer.is_paid


class TestRefund:
    def ask(self, buyer: Buyer, staff: Staff, amount: str, seen: str = "") -> Any:
        page = f"billing/invoice/{buyer.invoice.pk}/refund/"
        shown = SEEN.search(staff.open(page).content.decode())
        assert shown
        given = {"amount": amount, "reason": "asked for", "seen": seen or shown[1]}
        return staff.client.post(f"/admin/{page}", given, follow=True)

    @pytest.fixture
    def payer(self, buyer: Buyer) -> Buyer:
        buyer.card()
        buyer.issued()
        return buyer

    def test_a_part_goes_back_to_the_card(self, payer: Buyer, superuser: Staff) -> None:
        assert "Up to 49.00 USD can go back" in text_of(superuser.open(f"billing/invoice/{payer.invoice.pk}/refund/"))
        assert "9.00 USD goes back to the card." in text_of(self.ask(payer, superuser, "9"))
        assert Refund.objects.get().state == "succeeded" and CreditNote.objects.get().amount == 9

    def test_more_than_came_is_refused(self, payer: Buyer, superuser: Staff) -> None:
        assert "between 0 and 49.00 USD" in text_of(self.ask(payer, superuser, "49.01"))
        assert not Refund.objects.exists() and not CreditNote.objects.exists()

    def test_while_something_is_due_staff_are_told_so(self, payer: Buyer, superuser: Staff) -> None:
        """A credit pays what is due first, so no amount could go back."""
        invoiced(payer.invoice.subscription, "0.20", "2025-10-26")
        said = text_of(superuser.client.get(f"/admin/billing/invoice/{payer.invoice.pk}/refund/", follow=True))
        assert "0.20 USD is due on open invoices" in said and "Amount (USD)" not in said

    def test_by_its_address_too_nothing_goes_back_that_did_not_come_so(self, buyer: Buyer, superuser: Staff) -> None:
        page = f"/admin/billing/invoice/{buyer.invoice.pk}/refund/"
        assert "can go back to a card" in text_of(superuser.client.get(page, follow=True))

    def test_pressed_twice_it_is_one(self, payer: Buyer, superuser: Staff) -> None:
        self.ask(payer, superuser, "9", "49.00")
        self.ask(payer, superuser, "9", "49.00")
        assert Refund.objects.count() == 1

    def test_what_came_otherwise_has_no_such_button(self, buyer: Buyer, superuser: Staff) -> None:
        assert "Refund by card" not in text_of(superuser.open(f"billing/invoice/{buyer.invoice.pk}/change/"))


def test_while_cards_are_off_nothing_can_be_asked_or_refunded(buyer: Buyer, superuser: Staff, settings: Any) -> None:
    buyer.card()
    attempt = buyer.issued()
    settings.STRIPE_SECRET_KEY = ""
    assert "Refund by card" not in text_of(superuser.open(f"billing/invoice/{buyer.invoice.pk}/change/"))
    assert "Ask the provider" not in text_of(superuser.open(f"billing/paymentattempt/{attempt.pk}/change/"))


def test_disputes_show_what_the_provider_keeps(buyer: Buyer, superuser: Staff) -> None:
    buyer.card()
    buyer.issued()
    dispute = buyer.server.dispute(payment=buyer.attempts[-1].reference)
    buyer.server.close_dispute(reference=dispute["id"], status="lost")
    buyer.tell(buyer.now)
    page = text_of(superuser.open(f"billing/dispute/{Dispute.objects.get().pk}/change/"))
    assert "15.00 USD" in page and "49.00 USD" in page
    assert "lost" in text_of(superuser.open("billing/dispute/"))


def test_the_customers_page_says_what_is_past_due_and_what_comes_next(buyer: Buyer, superuser: Staff) -> None:
    buyer.declining("lost_card")
    buyer.issued()
    page = text_of(superuser.open(f"auth/user/{buyer.account}/change/"))
    assert f"Past due since {buyer.now:%Y-%m-%d}" in page
    assert f"the default plan is served from {buyer.now + 7 * DAY:%Y-%m-%d %H:%M}" in page
    money = text_of(superuser.open(f"auth/user/{buyer.account}/part/money/"))
    assert "Charges by card" in money and "lost_card" in money
