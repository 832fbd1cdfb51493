"""Who sees the dashboard, and in which language and time zone."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from billing.models import Preferences
from tests.cast import Customer, Staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(alice: Customer) -> Client:
    client = Client()
    client.force_login(alice.user)
    return client


@pytest.mark.parametrize("path", ["/dashboard/", "/dashboard/settings/"])
def test_strangers_log_in_first(path: str) -> None:
    assert Client().get(path)["Location"] == f"/accounts/login/?next={path}"


def test_pages_are_kept_by_nobody(page: Client) -> None:
    assert page.get("/dashboard/")["Cache-Control"] == "no-store"


def test_settings_are_the_persons(page: Client, alice: Customer, bob: Customer) -> None:
    assert page.post("/dashboard/settings/", {"language": "de", "time_zone": "Europe/Berlin"}).status_code == 302
    assert str(Preferences.of(alice.account)) == "de, Europe/Berlin"
    assert str(Preferences.of(bob.account)) == "any language, UTC"
    assert '<html lang="de">' in page.get("/dashboard/").text


def test_an_unknown_time_zone_is_refused(page: Client, alice: Customer) -> None:
    assert page.post("/dashboard/settings/", {"language": "de", "time_zone": "Mars/Olympus"}).status_code == 200
    assert not Preferences.objects.exists()


def test_the_browsers_language_counts_where_none_was_chosen(page: Client) -> None:
    assert '<html lang="de">' in page.get("/dashboard/", headers={"accept-language": "de-AT,de;q=0.9"}).text
    assert '<html lang="en">' in page.get("/dashboard/", headers={"accept-language": "fr"}).text


def test_the_api_is_english_also_after_a_german_page(page: Client, alice: Customer) -> None:
    page.get("/dashboard/", headers={"accept-language": "de"})
    answer = alice.api.post(
        "/api/v1/usage/track", {}, content_type="application/json", headers={"accept-language": "de"}
    )
    assert answer.json()["errors"] == {"feature": ["This field is required."]}


def test_looking_costs_no_request_of_the_minute(page: Client, alice: Customer) -> None:
    page.get("/dashboard/")
    assert alice.api.get("/api/v1/usage/current")["X-RateLimit-Remaining"] == "9"


def test_the_foot_of_a_page_changes_the_language_for_good(page: Client, alice: Customer) -> None:
    answer = page.post("/accounts/language/", {"language": "de", "next": "/dashboard/settings/"})
    assert answer["Location"] == "/dashboard/settings/"
    assert Preferences.of(alice.account).language == "de"
    assert page.post("/accounts/language/", {"language": "de", "next": "https://elsewhere.example/"})["Location"] == "/"


def test_a_stranger_chooses_a_language_too() -> None:
    client = Client()
    client.post("/accounts/language/", {"language": "de"})
    assert '<html lang="de">' in client.get("/").text
    client.post("/accounts/language/", {"language": "tlh"})
    assert '<html lang="de">' in client.get("/").text


def test_months_are_words_for_customers_and_numbers_for_staff_and_programs(page: Client, superuser: Staff) -> None:
    first = r"starts anew on 1 [A-Z][a-z]{2} 20\d\d, 00:00\."
    assert re.search(first, page.get("/dashboard/").text)
    assert re.search(r"20\d\d-\d\d-\d\d", superuser.open("billing/subscription/").text)
    scheduled = page.post("/api/v1/billing/cancel", {}, content_type="application/json").json()
    assert not re.search(r"[A-Z][a-z]{2} 20", str(scheduled))


def test_a_page_says_in_which_zone_its_times_are(page: Client, alice: Customer) -> None:
    assert "Times are in UTC." in page.get("/dashboard/").text
    Preferences.objects.create(user=alice.user, time_zone="Europe/Berlin")
    page.force_login(alice.user)
    assert "Times are in Europe/Berlin." in page.get("/dashboard/keys/").text


def test_zones_are_places(page: Client, alice: Customer) -> None:
    offered = page.get("/dashboard/settings/").text
    assert ">Europe/Berlin<" in offered and ">UTC<" in offered
    assert not re.search(r">(Etc/GMT\+7|Factory|localtime|EST|US/Eastern)<", offered)
    Preferences.objects.create(user=alice.user, time_zone="US/Eastern")
    page.force_login(alice.user)
    assert ">US/Eastern<" in page.get("/dashboard/settings/").text, "what was chosen stays"
