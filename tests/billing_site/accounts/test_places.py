"""Log-ins from new places: told once, by browser and network, and forgotten in time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from billing.erasure import erase
from billing.models import KnownPlace, OutboxMessage
from billing.outbox.kinds import Happened
from billing.postgres.clock import ClockSkewed
from billing_site.accounts import places
from tests.billing.mails.mailing import mail_about
from tests.cast import Customer

pytestmark = pytest.mark.django_db
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
CHROME = "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36"
EDGE = CHROME + " Edg/126.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1 Version/17.5 Mobile Safari/604.1"


@pytest.fixture
def bob(bob: Customer) -> Customer:
    bob.user.email = "bob@customers.example"
    bob.user.set_password("a long enough one")
    bob.user.save()
    return bob


def log_in(address: str = "192.0.2.7", browser: str = FIREFOX) -> None:
    form = {"login": "bob", "password": "a long enough one"}
    answer = Client(REMOTE_ADDR=address, headers={"user-agent": browser}).post("/accounts/login/", form)
    assert answer.status_code == 302, answer.text


def told() -> int:
    return OutboxMessage.objects.filter(kind=Happened.NEW_PLACE).count()


def test_the_first_place_is_told_to_nobody(bob: Customer) -> None:
    log_in()
    assert told() == 0
    place = KnownPlace.objects.get()
    assert (place.browser, place.network) == ("Firefox, Linux", "192.0.2.0/24")


def test_another_browser_and_another_network_are_told_once_each(bob: Customer) -> None:
    log_in()
    log_in(address="192.0.2.200")
    log_in(browser=FIREFOX.replace("128", "129"))
    assert told() == 0, "the same network, a newer version"
    log_in(browser=CHROME)
    log_in(browser=CHROME)
    assert told() == 1
    log_in(address="198.51.100.1")
    assert told() == 2
    mail.outbox.clear()
    assert "198.51.100.0/24" in mail_about(Happened.NEW_PLACE, bob.account).body


def test_a_failed_log_in_is_no_place(bob: Customer) -> None:
    Client().post("/accounts/login/", {"login": "bob", "password": "wrong"})
    assert not KnownPlace.objects.exists()


def test_what_was_not_seen_for_long_is_forgotten(bob: Customer) -> None:
    now = timezone.now()
    places.note(bob.account, "Firefox, Linux", "192.0.2.0/24", now)
    places.note(bob.account, "Chrome, Windows", "192.0.2.0/24", now + timedelta(days=100))
    places.note(bob.account, "Chrome, Windows", "192.0.2.0/24", now + timedelta(days=181))
    assert [place.browser for place in KnownPlace.objects.all()] == ["Chrome, Windows"]


def test_only_so_many_are_kept(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MOST", 2)
    for number in range(4):
        places.note(bob.account, "Firefox", f"192.0.{number}.0/24", timezone.now() + timedelta(seconds=number))
    assert set(KnownPlace.objects.values_list("network", flat=True)) == {"192.0.2.0/24", "192.0.3.0/24"}


def test_a_log_in_does_not_fail_by_it(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    def skewed(*_: Any, **__: Any) -> None:
        raise ClockSkewed("an hour ahead")

    monkeypatch.setattr(places, "record", skewed)
    log_in()
    log_in(browser=CHROME)


def test_places_go_with_the_person(bob: Customer) -> None:
    log_in()
    erase.erase(bob.account, timezone.now(), with_open_invoices=True)
    assert not KnownPlace.objects.exists()


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (FIREFOX, "Firefox, Linux"),
        (CHROME, "Chrome, Windows"),
        (EDGE, "Edge, Windows"),
        (IPHONE, "Safari, iOS"),
        ("curl/8.5", ""),
        ("<script>" * 1000, ""),
    ],
)
def test_browsers_by_name(agent: str, name: str) -> None:
    assert places.browser_of(agent) == name


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("nonsense", ""),
    ],
)
def test_networks_and_not_addresses(address: str, network: str) -> None:
    assert places.network_of(address) == network
