"""Staff look at saved cards and at what the provider told; those who may change something of it."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from billing.models import PaymentMethod, ProviderCustomer, ProviderEvent
from billing.payments.cards import events
from billing.payments.cards.configured import card_gateway
from tests.cast import Customer, Staff
from tests.servers.card.running import VISA, CardServer

pytestmark = pytest.mark.django_db
CARDS, EVENTS = "billing/paymentmethod/", "billing/providerevent/"


@pytest.fixture
def card(bob: Customer, card_server: CardServer) -> PaymentMethod:
    """Bob's, and the event that it is saved, which waits."""
    gateway = card_gateway()
    assert gateway is not None
    customer = gateway.create_customer(bob.account, email="", key="bob")
    now, facts = timezone.now(), {"provider": "stripe", "is_live": False}
    reference = customer.value  # type: ignore[union-attr]
    ProviderCustomer.objects.create(account=bob.user, reference=reference, created_at=now, **facts)
    there = card_server.save_card(customer=reference, number=VISA)
    for told in card_server.pending():
        events.keep(gateway, gateway.parse_event(told["body"].encode(), told["signature"]), now)
    about = {"brand": "visa", "last4": "4242", "exp_month": 1, "exp_year": 2034, "fingerprint": "f"}
    return PaymentMethod.objects.create(
        account=bob.user, reference=there["id"], created_at=now, is_default=True, **about, **facts
    )


def test_they_see_cards_by_customer_and_digits(superuser: Staff, card: PaymentMethod) -> None:
    for search in ("bob", card.reference):
        assert "4242" in superuser.open(f"{CARDS}?q={search}").text
    page = superuser.open(f"{CARDS}{card.pk}/change/").text
    assert "01/2034" in page and ProviderCustomer.objects.get().reference in page
    PaymentMethod.objects.update(exp_year=2020)
    assert "expired" in superuser.open(CARDS).text


def test_who_may_removes_a_card(superuser: Staff, clerk: Staff, card: PaymentMethod) -> None:
    path = f"{CARDS}{card.pk}/remove/"
    clerk.may("billing.view_paymentmethod")
    assert clerk.open(path).status_code == clerk.send(path).status_code == 403
    assert "not charged any more" in superuser.open(path).text
    assert superuser.client.post(f"/admin/{path}", follow=True).text.count("The card is removed.")
    card.refresh_from_db()
    assert card.state == PaymentMethod.State.DETACHED
    assert LogEntry.objects.get().change_message == "Removed."
    assert "since you looked" in superuser.client.post(f"/admin/{path}", follow=True).text


def test_who_may_has_an_event_processed_again(superuser: Staff, clerk: Staff, card: PaymentMethod) -> None:
    event = ProviderEvent.objects.get()
    ProviderEvent.objects.update(state="failed", error="The provider knows no such object.", tries=3)
    assert "knows no such object" in superuser.open(f"{EVENTS}?state__exact=failed").text
    for search, found in ((event.reference, True), (event.object_reference, True), ("evt_other", False)):
        assert ("payment_method.attached" in superuser.open(f"{EVENTS}?q={search}").text) is found
    page, path = superuser.open(f"{EVENTS}{event.pk}/change/").text, f"{EVENTS}{event.pk}/process_again/"
    assert "Process again" in page and "payment_method.attached" in page
    clerk.may("billing.view_providerevent")
    assert clerk.send(path).status_code == 403
    superuser.send(path)
    event.refresh_from_db()
    assert (event.state, event.tries) == ("received", 0)
    ProviderEvent.objects.update(state="done")
    assert "since you looked" in superuser.client.post(f"/admin/{path}", follow=True).text
    assert "Process again" not in superuser.open(f"{EVENTS}{event.pk}/change/").text
