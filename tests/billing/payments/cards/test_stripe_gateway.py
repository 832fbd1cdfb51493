"""Stripe's client against the test provider: what is answered, declined, rejected, and what nobody knows."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from billing.payments.cards.answers import (
    Answered,
    ChargeState,
    Declined,
    DisputeState,
    RefundState,
    Rejected,
    SetUpState,
    Unknown,
)
from billing.payments.cards.configured import card_gateway
from billing.payments.cards.gateway import Gateway
from billing.rules.payments.declines import DeclineKind
from tests.servers.card.running import CONFIRMED_ALWAYS, CONFIRMED_ONCE, DECLINED_LATER, VISA, CardServer

pytestmark = pytest.mark.django_db
DONE, LEFT = "http://site.example/done?page={page}", "http://site.example/left?page={page}"


@pytest.fixture
def customer(gateway: Gateway) -> str:
    return value(gateway.create_customer(7, email="alice@example.com", key="customer-7"))


def value(answer: Any) -> Any:
    assert isinstance(answer, Answered), answer
    return answer.value


def charge(gateway: Gateway, customer: str, card: Any, amount: str = "49.00", **given: Any) -> Any:
    given = {"attempt": str(uuid.uuid4()), "description": "INV-1", "currency": "USD"} | given
    return gateway.charge(customer, card["id"], Decimal(amount), **given)


def test_a_card_is_saved_on_the_hosted_page(card_server: CardServer, gateway: Gateway, customer: str) -> None:
    page = value(gateway.begin_set_up(customer, done_url=DONE, left_url=LEFT))
    assert page.is_open
    assert value(gateway.fetch_page(page.reference)).set_up.state == SetUpState.OPEN
    assert card_server.fill_in(page.url, VISA) == f"http://site.example/done?page={page.reference}"
    after = value(gateway.fetch_page(page.reference))
    assert not after.is_open
    assert (after.set_up.state, after.set_up.customer) == (SetUpState.SAVED, customer)
    assert (after.set_up.card.last4, after.set_up.card.exp_year) == ("4242", 2034)
    assert value(gateway.fetch_set_up(after.set_up.reference)) == after.set_up
    assert value(gateway.fetch_card(after.set_up.card.reference)).customer == customer


def test_a_card_that_is_declined_when_saved_says_why(card_server: CardServer, gateway: Gateway, customer: str) -> None:
    page = value(gateway.begin_set_up(customer, done_url=DONE, left_url=LEFT))
    assert card_server.fill_in(page.url, "4000000000009995") == ""
    assert "insufficient funds" in card_server.said
    failed = value(gateway.fetch_page(page.reference)).set_up
    assert (failed.state, failed.decline.code, failed.card) == (SetUpState.FAILED, "insufficient_funds", None)
    assert card_server.fill_in(page.url, VISA)  # another card on the same page
    assert value(gateway.fetch_page(page.reference)).set_up.state == SetUpState.SAVED


def test_a_bank_wants_a_confirmation_when_a_card_is_saved(
    card_server: CardServer, gateway: Gateway, customer: str
) -> None:
    page = value(gateway.begin_set_up(customer, done_url=DONE, left_url=LEFT))
    assert card_server.fill_in(page.url, CONFIRMED_ONCE, "no") == ""
    assert value(gateway.fetch_page(page.reference)).set_up.state == SetUpState.FAILED
    assert card_server.fill_in(page.url, CONFIRMED_ONCE, "yes")
    card = value(gateway.fetch_page(page.reference)).set_up.card
    paid = charge(gateway, customer, {"id": card.reference})  # and then not again
    assert value(paid).state == ChargeState.SUCCEEDED


def test_a_saved_card_is_charged_while_its_owner_is_away(
    card_server: CardServer, gateway: Gateway, customer: str
) -> None:
    card = card_server.save_card(customer=customer, number=VISA)
    paid = value(charge(gateway, customer, card, "49.00", attempt="attempt-1"))
    assert (paid.state, paid.amount, paid.currency) == (ChargeState.SUCCEEDED, Decimal("49.00"), "USD")
    assert (paid.attempt, paid.customer, paid.method) == ("attempt-1", customer, card["id"])
    assert value(gateway.fetch_charge(paid.reference)) == paid
    assert value(gateway.find_charge(customer, "attempt-1", datetime.now(UTC) - timedelta(hours=1))) == paid
    assert value(gateway.find_charge(customer, "attempt-2", datetime.now(UTC) - timedelta(hours=1))) is None


@pytest.mark.parametrize(
    ("currency", "amount", "units"),
    [
        ("USD", "49.00", 4900),
        ("JPY", "5000", 5000),
        ("KWD", "1.230", 1230),
        ("ISK", "500", 50000),
        ("MGA", "70.00", 70),
    ],
)
def test_an_amount_is_sent_in_the_currencys_units(
    card_server: CardServer, gateway: Gateway, customer: str, currency: str, amount: str, units: int
) -> None:
    card = card_server.save_card(customer=customer, number=VISA)
    paid = value(charge(gateway, customer, card, amount, currency=currency))
    assert str(paid.amount) == amount
    events = value(gateway.events_since(datetime.now(UTC) - timedelta(hours=1)))
    made = next(event for event in events if event.object_type == "payment_intent")
    assert made.payload["data"]["object"]["amount"] == units


@pytest.mark.parametrize(("currency", "amount"), [("KWD", "1.234"), ("USD", "0.001"), ("MGA", "0.50"), ("UGX", "100")])
def test_an_amount_that_stripe_cannot_express_is_not_sent(
    card_server: CardServer, gateway: Gateway, customer: str, currency: str, amount: str
) -> None:
    answer = charge(gateway, customer, card_server.save_card(customer=customer, number=VISA), amount, currency=currency)
    assert isinstance(answer, Rejected) and answer.code == "amount"
    assert not card_server.asked("POST /v1/payment_intents")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("insufficient_funds", DeclineKind.SOFT),
        ("stolen_card", DeclineKind.HARD),
        ("expired_card", DeclineKind.HARD),
        ("authentication_required", DeclineKind.ACTION),
    ],
)
def test_a_decline_is_a_value_with_its_kind(
    card_server: CardServer, gateway: Gateway, customer: str, code: str, kind: DeclineKind
) -> None:
    card = card_server.save_card(customer=customer, number=VISA)
    card_server.decline(card=card["id"], code=code)
    answer = charge(gateway, customer, card)
    assert isinstance(answer, Declined)
    assert (answer.code, answer.kind) == (code, kind)
    seen = value(gateway.fetch_charge(answer.reference))
    assert seen.state == (ChargeState.NEEDS_ACTION if kind == DeclineKind.ACTION else ChargeState.FAILED)
    assert seen.decline is not None and seen.decline.code == code


@pytest.mark.parametrize(
    ("number", "kind"), [(DECLINED_LATER, DeclineKind.SOFT), (CONFIRMED_ALWAYS, DeclineKind.ACTION)]
)
def test_test_cards_decline_as_stripes_do(
    card_server: CardServer, gateway: Gateway, customer: str, number: str, kind: DeclineKind
) -> None:
    answer = charge(gateway, customer, card_server.save_card(customer=customer, number=number))
    assert isinstance(answer, Declined) and answer.kind == kind


def test_a_customer_pays_on_the_hosted_page_and_confirms(
    card_server: CardServer, gateway: Gateway, customer: str
) -> None:
    asked: Any = {"attempt": "attempt-3", "description": "INV-3", "done_url": DONE, "left_url": LEFT}
    page = value(gateway.begin_payment(customer, Decimal("12.50"), "EUR", **asked))
    assert value(gateway.begin_payment(customer, Decimal("12.50"), "EUR", **asked)) == page  # under the same key
    assert card_server.fill_in(page.url, CONFIRMED_ALWAYS, "no") == ""
    failed = value(gateway.fetch_page(page.reference)).charge
    assert (failed.state, failed.attempt) == (ChargeState.NEEDS_ACTION, "attempt-3")
    assert card_server.fill_in(page.url, CONFIRMED_ALWAYS, "yes")
    paid = value(gateway.fetch_page(page.reference)).charge
    assert (paid.reference, paid.state, paid.amount) == (failed.reference, ChargeState.SUCCEEDED, Decimal("12.50"))
    assert value(gateway.fetch_card(paid.method)).customer == "", "it is not kept"


def test_nobody_pays_on_a_page_that_was_ended(card_server: CardServer, gateway: Gateway, customer: str) -> None:
    asked: Any = {"attempt": "attempt-4", "description": "INV-4", "done_url": DONE, "left_url": LEFT}
    page = value(gateway.begin_payment(customer, Decimal("12.50"), "EUR", **asked))
    assert value(gateway.end_page(page.reference)) is None
    assert card_server.fill_in(page.url, VISA) == "" and "has ended" in card_server.said
    assert isinstance(gateway.end_page(page.reference), Rejected)


class TestNobodyKnows:
    """A request under a key whose answer was lost is sent again under the same key, and executed once."""

    @pytest.mark.parametrize("fault", ["refuse", "lose", "error"])
    def test_what_became_of_a_charge(
        self, card_server: CardServer, gateway: Gateway, customer: str, fault: str
    ) -> None:
        card = card_server.save_card(customer=customer, number=VISA)
        card_server.fault(fault, "POST /v1/payment_intents")
        assert isinstance(charge(gateway, customer, card, attempt="attempt-5"), Unknown)
        paid = value(charge(gateway, customer, card, attempt="attempt-5"))
        assert paid.state == ChargeState.SUCCEEDED
        assert len(card_server.asked("POST /v1/payment_intents")) == 1

    def test_while_it_is_in_flight(self, card_server: CardServer, gateway: Gateway, customer: str) -> None:
        card = card_server.save_card(customer=customer, number=VISA)
        card_server.fault("delay", "POST /v1/payment_intents", seconds=1)
        with ThreadPoolExecutor(2) as threads:
            asked = [threads.submit(charge, gateway, customer, card, attempt="attempt-6") for _ in range(2)]
            paid, busy = sorted((each.result() for each in asked), key=lambda answer: isinstance(answer, Unknown))
        assert "key is in use" in busy.reason
        assert value(paid).state == ChargeState.SUCCEEDED
        assert len(card_server.asked("POST /v1/payment_intents")) == 1

    def test_the_same_key_with_another_amount_is_rejected(
        self, card_server: CardServer, gateway: Gateway, customer: str
    ) -> None:
        card = card_server.save_card(customer=customer, number=VISA)
        value(charge(gateway, customer, card, "1.00", attempt="attempt-7"))
        answer = charge(gateway, customer, card, "2.00", attempt="attempt-7")
        assert isinstance(answer, Rejected) and answer.code == "idempotency_error"

    def test_where_the_provider_is_not_there(self, gateway: Gateway, settings: Any) -> None:
        settings.STRIPE_API_BASE = "http://127.0.0.1:9"
        away = card_gateway()
        assert away is not None
        assert isinstance(away.fetch_card("pm_1"), Unknown)


def test_an_object_that_the_provider_does_not_know(gateway: Gateway) -> None:
    for answer in (gateway.fetch_charge("pi_nobody"), gateway.fetch_card("pm_nobody"), gateway.fetch_page("cs_nobody")):
        assert isinstance(answer, Rejected) and answer.is_missing


def test_a_card_is_detached_also_twice(card_server: CardServer, gateway: Gateway, customer: str) -> None:
    card = card_server.save_card(customer=customer, number=VISA)
    for _ in range(2):
        assert isinstance(gateway.detach_card(card["id"]), Answered)
    assert value(gateway.fetch_card(card["id"])).customer == ""
    assert isinstance(gateway.detach_card("pm_nobody"), Answered)
    assert isinstance(gateway.delete_customer(customer), Answered)
    assert isinstance(gateway.delete_customer(customer), Answered)


def test_a_part_is_refunded_and_no_more_than_is_left(card_server: CardServer, gateway: Gateway, customer: str) -> None:
    paid = value(charge(gateway, customer, card_server.save_card(customer=customer, number=VISA), "49.00"))
    made = value(gateway.refund(paid.reference, Decimal("9.00"), "USD", refund="refund-1"))
    assert (made.state, made.amount, made.charge, made.refund) == (
        RefundState.SUCCEEDED,
        Decimal("9.00"),
        paid.reference,
        "refund-1",
    )
    assert value(gateway.refund(paid.reference, Decimal("9.00"), "USD", refund="refund-1")) == made
    assert isinstance(gateway.refund(paid.reference, Decimal("40.01"), "USD", refund="refund-2"), Rejected)
    value(gateway.refund(paid.reference, Decimal("40.00"), "USD", refund="refund-3"))
    assert value(gateway.fetch_charge(paid.reference)).refunded == Decimal("49.00")
    card_server.fail_refund(reference=made.reference)
    assert value(gateway.fetch_refund(made.reference)).state == RefundState.FAILED
    found = value(gateway.find_refund(paid.reference, "refund-1"))
    assert (found.reference, found.state) == (made.reference, RefundState.FAILED)
    assert value(gateway.find_refund(paid.reference, "refund-2")) is None


def test_a_dispute_is_opened_and_lost(card_server: CardServer, gateway: Gateway, customer: str) -> None:
    paid = value(charge(gateway, customer, card_server.save_card(customer=customer, number=VISA), "49.00"))
    opened = card_server.dispute(payment=paid.reference)
    seen = value(gateway.fetch_dispute(opened["id"]))
    assert (seen.state, seen.charge, seen.amount) == (DisputeState.OPEN, paid.reference, Decimal("49.00"))
    assert (seen.fee, seen.fee_currency) == (Decimal("15.00"), "USD")
    card_server.close_dispute(reference=opened["id"], status="lost")
    assert value(gateway.fetch_dispute(opened["id"])).state == DisputeState.LOST


def test_a_charge_that_waits_is_canceled(card_server: CardServer, gateway: Gateway, customer: str) -> None:
    answer = charge(gateway, customer, card_server.save_card(customer=customer, number=CONFIRMED_ALWAYS))
    assert isinstance(answer, Declined)
    assert value(gateway.cancel_charge(answer.reference)).state == ChargeState.CANCELED
    assert isinstance(gateway.cancel_charge(answer.reference), Rejected)


@pytest.mark.django_db(transaction=True)
def test_the_provider_is_never_called_inside_of_a_transaction(gateway: Gateway) -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="transaction"):
        gateway.fetch_card("pm_1")
