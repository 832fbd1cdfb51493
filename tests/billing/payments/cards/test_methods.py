"""Saved cards: by set-up, the default, removed here or at the provider, and who has one when."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connections
from django.utils import timezone

from billing.erasure import erase
from billing.models import OutboxMessage, PaymentMethod, ProviderCustomer, ProviderEvent
from billing.payments.cards import events, forgetting, methods
from billing.payments.cards.answers import Answered, Card, Unknown
from billing.payments.cards.gateway import Gateway
from tests.billing.payments.cards.saving import begin, come_back, save
from tests.cast import Customer
from tests.servers.card.running import VISA, CardServer

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
MASTERCARD = "5555555555554444"


def kinds(customer: Customer) -> list[str]:
    told = OutboxMessage.objects.filter(account_id=customer.account, kind__startswith="payment_method.")
    return list(told.order_by("pk").values_list("kind", flat=True))


def test_the_first_card_is_saved_as_the_default(gateway: Gateway, card_server: CardServer, bob: Customer) -> None:
    row = save(gateway, card_server, bob)
    assert (row.account_id, row.last4, row.exp_month, row.exp_year) == (bob.account, "4242", 12, 2034)
    assert row.is_default and row.state == PaymentMethod.State.USABLE
    assert methods.default_method(bob.account) == row
    assert kinds(bob) == ["payment_method.saved"]


def test_the_second_card_is_saved_beside_it(gateway: Gateway, card_server: CardServer, bob: Customer) -> None:
    first = save(gateway, card_server, bob)
    second = save(gateway, card_server, bob, MASTERCARD)
    assert methods.methods_of(bob.account) == [first, second]
    methods.make_default(bob.account, second.pk)
    methods.make_default(bob.account, second.pk)  # a double click
    assert methods.default_method(bob.account) == second
    assert kinds(bob) == ["payment_method.saved", "payment_method.saved", "payment_method.default_set"]
    assert ProviderCustomer.objects.count() == 1


def test_a_card_that_was_declined_is_not_saved(gateway: Gateway, card_server: CardServer, bob: Customer) -> None:
    page = begin(gateway, bob)
    card_server.fill_in(page.url, "4000000000009995")
    assert come_back(gateway, page.reference).decline.code == "insufficient_funds"
    assert methods.methods_of(bob.account) == []


def test_the_same_set_up_twice_is_one_card(gateway: Gateway, card_server: CardServer, bob: Customer) -> None:
    page = begin(gateway, bob)
    card_server.fill_in(page.url)
    come_back(gateway, page.reference)
    come_back(gateway, page.reference)
    assert len(methods.methods_of(bob.account)) == 1
    assert kinds(bob) == ["payment_method.saved"]


class TestRemoved:
    def test_here_it_is_gone_at_once_and_the_provider_is_told(
        self, gateway: Gateway, card_server: CardServer, bob: Customer
    ) -> None:
        row = save(gateway, card_server, bob)
        methods.remove(bob.account, row.pk, NOW)
        assert methods.methods_of(bob.account) == []
        card_server.fault("refuse", "detach")
        assert forgetting.tell(gateway, NOW) == 0  # tried again later
        assert forgetting.tell(gateway, NOW) == 1
        assert forgetting.tell(gateway, NOW) == 0
        assert len(card_server.asked("detach")) == 1
        assert kinds(bob) == ["payment_method.saved", "payment_method.removed"]

    def test_an_answer_that_was_lost_is_asked_for_again(
        self, gateway: Gateway, card_server: CardServer, bob: Customer
    ) -> None:
        row = save(gateway, card_server, bob)
        methods.remove(bob.account, row.pk, NOW)
        card_server.fault("lose", "detach")
        assert [forgetting.tell(gateway, NOW) for _ in range(2)] == [0, 1]

    def test_the_newest_of_the_others_becomes_the_default(
        self, gateway: Gateway, card_server: CardServer, bob: Customer
    ) -> None:
        first, second, third = (save(gateway, card_server, bob, number) for number in (VISA, MASTERCARD, VISA))
        PaymentMethod.objects.filter(pk=third.pk).update(exp_year=2020)  # it has expired
        methods.remove(bob.account, first.pk, NOW)
        assert methods.default_method(bob.account) == second
        methods.remove(bob.account, second.pk, NOW)
        assert methods.default_method(bob.account) == third

    def test_at_the_provider_it_is_gone_here_too(
        self, gateway: Gateway, card_server: CardServer, bob: Customer
    ) -> None:
        row = save(gateway, card_server, bob)
        card_server.detach(reference=row.reference)
        apply(gateway, row.reference)
        row.refresh_from_db()
        assert row.state == PaymentMethod.State.DETACHED and row.provider_told_at is not None
        assert methods.methods_of(bob.account) == []

    def test_it_does_not_come_back_with_a_late_event(
        self, gateway: Gateway, card_server: CardServer, bob: Customer
    ) -> None:
        row = save(gateway, card_server, bob)
        methods.remove(bob.account, row.pk, NOW)
        apply(gateway, row.reference)  # the provider has still to be told
        assert methods.methods_of(bob.account) == []

    def test_nobody_removes_another_ones(
        self, gateway: Gateway, card_server: CardServer, bob: Customer, carol: Customer
    ) -> None:
        row = save(gateway, card_server, bob)
        for change in (
            lambda: methods.remove(carol.account, row.pk, NOW),
            lambda: methods.make_default(carol.account, row.pk),
        ):
            with pytest.raises(PaymentMethod.DoesNotExist):
                change()
        assert methods.methods_of(bob.account) == [row]


def apply(gateway: Gateway, reference: str) -> None:
    card = gateway.fetch_card(reference)
    assert isinstance(card, Answered)
    methods.apply_card(gateway, card.value, timezone.now())


def test_a_card_that_the_bank_has_renewed(gateway: Gateway, card_server: CardServer, bob: Customer) -> None:
    row = save(gateway, card_server, bob, expiry="01/27")
    card_server.update_card(reference=row.reference, year=2030, month=6)
    apply(gateway, row.reference)
    row.refresh_from_db()
    assert (row.exp_month, row.exp_year) == (6, 2030)


def test_a_card_of_nobody_here_is_left_alone(gateway: Gateway, card_server: CardServer, bob: Customer) -> None:
    stranger = gateway.create_customer(999, email="", key="stranger")
    assert isinstance(stranger, Answered)
    apply(gateway, card_server.save_card(customer=stranger.value, number=VISA)["id"])
    assert not PaymentMethod.objects.exists()


def test_a_customer_is_made_once_also_when_the_answer_is_lost(
    gateway: Gateway, card_server: CardServer, bob: Customer
) -> None:
    card_server.fault("lose", "POST /v1/customers")
    assert isinstance(methods.customer_of(gateway, bob.account, NOW), Unknown)
    customer = methods.customer_of(gateway, bob.account, NOW)
    assert customer == methods.customer_of(gateway, bob.account, NOW)
    assert len(card_server.asked("POST /v1/customers")) == 1


def test_a_customer_whom_the_provider_has_deleted_is_made_anew(
    gateway: Gateway, card_server: CardServer, bob: Customer
) -> None:
    former = save(gateway, card_server, bob)
    save(gateway, card_server, bob, MASTERCARD)
    assert isinstance(gateway.delete_customer(ProviderCustomer.objects.get().reference), Answered)
    row = save(gateway, card_server, bob)
    assert methods.methods_of(bob.account) == [row] and row.is_default
    former.refresh_from_db()
    assert former.state == PaymentMethod.State.DETACHED
    assert forgetting.tell(gateway, NOW) == 0
    assert ProviderCustomer.objects.filter(forget_at=None).count() == 1


def test_an_account_that_is_erased_is_forgotten_by_the_provider(
    gateway: Gateway, card_server: CardServer, bob: Customer
) -> None:
    row = save(gateway, card_server, bob)
    methods.forget_account(bob.account, NOW)
    assert methods.methods_of(bob.account) == []
    assert forgetting.tell(gateway, NOW) == 2
    assert forgetting.tell(gateway, NOW) == 0
    # A page that was open meanwhile saves no card.
    customer = ProviderCustomer.objects.get(account=row.account_id).reference
    methods.apply_card(gateway, Card("pm_late", customer, "visa", "4242", 1, 2034), NOW)
    assert PaymentMethod.objects.get() == row


def test_the_database_keeps_one_default(gateway: Gateway, card_server: CardServer, bob: Customer) -> None:
    save(gateway, card_server, bob)
    second = save(gateway, card_server, bob, MASTERCARD)
    with pytest.raises(IntegrityError):
        PaymentMethod.objects.filter(pk=second.pk).update(is_default=True)


@pytest.mark.django_db(transaction=True)
def test_two_cards_at_once_are_both_saved_and_one_is_the_default(
    gateway: Gateway, card_server: CardServer, bob: Customer
) -> None:
    pages = [begin(gateway, bob) for _ in range(6)]
    for page in pages:
        card_server.fill_in(page.url)
    together = threading.Barrier(len(pages))

    def work(reference: str) -> None:
        together.wait()
        come_back(gateway, reference)
        connections.close_all()

    threads = [threading.Thread(target=work, args=(page.reference,)) for page in pages]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(methods.methods_of(bob.account)) == len(pages)
    assert PaymentMethod.objects.filter(is_default=True).count() == 1


@pytest.mark.django_db(transaction=True)
def test_an_erasure_takes_what_names_the_card(gateway: Gateway, card_server: CardServer, bob: Customer) -> None:
    row = save(gateway, card_server, bob)
    for told in card_server.pending():
        events.keep(gateway, gateway.parse_event(told["body"].encode(), told["signature"]), timezone.now())
    assert ProviderEvent.objects.filter(payload__icontains="4242").exists()
    erase.erase(bob.account, timezone.now(), with_open_invoices=True)
    row.refresh_from_db()
    assert (row.last4, row.fingerprint, row.state) == ("", "", PaymentMethod.State.DETACHED)
    assert not ProviderEvent.objects.filter(payload__icontains="4242").exists()
    assert ProviderCustomer.objects.get().forget_at is not None
