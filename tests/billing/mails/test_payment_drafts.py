"""What mails about payments say, when they are not sent, and who gets them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from billing.mails.consumer import send_mail_of
from billing.models import OutboxMessage, Preferences, Refund
from billing.outbox.kinds import Happened
from billing.payments.cards import refunds
from billing.payments.receive import receive
from tests.billing.mails.mailing import happened, html_of, mail_about, mail_of, mails
from tests.billing.payments.cards.buyer import DAY, Buyer, buyer
from tests.cast import Customer
from tests.servers.card.running import CONFIRMED_ALWAYS

pytestmark = pytest.mark.django_db
__all__ = ["buyer"]


def paid(buyer: Buyer) -> None:
    buyer.card()
    buyer.issued()


def declined(buyer: Buyer) -> None:
    buyer.declining("insufficient_funds")
    buyer.issued()


def asked(buyer: Buyer) -> None:
    buyer.card(CONFIRMED_ALWAYS)
    buyer.issued()


def past_due(buyer: Buyer) -> None:
    buyer.declining("lost_card")
    buyer.issued()


def paused(buyer: Buyer) -> None:
    past_due(buyer)
    buyer.beat(buyer.now + 8 * DAY)


def paid_again(buyer: Buyer) -> None:
    paused(buyer)
    receive(buyer.account, "USD", buyer.invoice.due, "bank", "1", buyer.now, buyer.now)


def refunded(buyer: Buyer) -> None:
    paid(buyer)
    refunds.refund(buyer.gateway, buyer.fresh(), buyer.invoice.total, "asked for", buyer.now)
    assert Refund.objects.get().state == "succeeded"


CASES: list[tuple[Callable[[Buyer], None], Happened, str, str]] = [
    (paid, Happened.CHARGE_SUCCEEDED, "Invoice INV-000001 is paid", "49.00 USD"),
    (declined, Happened.CHARGE_FAILED, "Invoice INV-000001 could not be charged", "We try again on"),
    (asked, Happened.CHARGE_NEEDS_ACTION, "Please confirm the payment of invoice INV-000001", "/pay/"),
    (past_due, Happened.PAST_DUE_BEGAN, "Invoice INV-000001 is past due", "your plan is paused from"),
    (paused, Happened.PLAN_PAUSED, "Your plan is paused", "goes on as soon as the invoice is paid"),
    (paid_again, Happened.PAST_DUE_ENDED, "Your plan goes on", "in force again"),
    (refunded, Happened.REFUND_SUCCEEDED, "We have refunded 49.00 USD", "the card that you paid with"),
]


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize(("does", "kind", "subject", "says"), CASES, ids=[kind for _, kind, *_ in CASES])
def test_it_is_said_in_the_readers_language(
    buyer: Buyer, language: str, does: Callable[[Buyer], None], kind: Happened, subject: str, says: str
) -> None:
    Preferences.objects.create(user=buyer.customer.user, language=language, time_zone="Asia/Tokyo")
    does(buyer)
    sent = mail_about(kind, buyer.account)
    assert sent.to == ["carol@customers.example"] and f'<html lang="{language}">' in html_of(sent)
    if language == "en":
        assert sent.subject == subject and says in sent.body
    else:
        assert sent.subject != subject
    assert "{" not in sent.body + html_of(sent) and "None" not in sent.body


def test_who_has_a_card_is_not_asked_to_pay(buyer: Buyer) -> None:
    assert "Please pay 49.00 USD" in mail_about(Happened.INVOICE_ISSUED, buyer.account).body
    buyer.card()
    again = happened(Happened.INVOICE_ISSUED, buyer.account, invoice=buyer.invoice.pk, status="open")
    said = mail_of(again).body
    assert "We charge 49.00 USD to" in said and "4242" in said and "Please pay" not in said


def told_nothing(kind: Happened, buyer: Buyer) -> None:
    before = len(mails())
    send_mail_of(OutboxMessage.objects.filter(kind=kind, account=buyer.account).latest("pk"))
    assert len(mails()) == before


def test_where_no_try_follows_one_mail_tells_it(buyer: Buyer) -> None:
    past_due(buyer)
    told_nothing(Happened.CHARGE_FAILED, buyer)


def test_what_was_paid_before_the_mail_goes_out_is_not_asked_for(buyer: Buyer) -> None:
    past_due(buyer)
    receive(buyer.account, "USD", buyer.invoice.due, "bank", "1", buyer.now, buyer.now)
    told_nothing(Happened.PAST_DUE_BEGAN, buyer)


class TestDisputes:
    def opened(self, buyer: Buyer) -> OutboxMessage:
        paid(buyer)
        buyer.server.dispute(payment=buyer.attempts[-1].reference)
        buyer.tell(buyer.now)
        return OutboxMessage.objects.get(kind=Happened.DISPUTE_OPENED)

    def test_staff_are_told_in_english(self, buyer: Buyer, settings: Any) -> None:
        settings.STAFF_EMAIL = "billing@operator.example"
        Preferences.objects.create(user=buyer.customer.user, language="de", time_zone="Asia/Tokyo")
        send_mail_of(self.opened(buyer))
        sent = mails()[-1]
        assert sent.to == ["billing@operator.example"] and sent.subject.startswith("A payment is disputed")
        assert "carol" in sent.body and "49.00 USD" in sent.body and "/admin/billing/dispute/" in sent.body

    def test_without_an_address_nobody_is(self, buyer: Buyer) -> None:
        send_mail_of(self.opened(buyer))
        assert mails() == []


@pytest.fixture(autouse=True)
def addressed(carol_has_an_address: None) -> None:
    """As the other tests of mails have it."""


@pytest.fixture
def carol_has_an_address(buyer: Buyer) -> Customer:
    buyer.customer.user.email = "carol@customers.example"
    buyer.customer.user.save()
    return buyer.customer
