"""Keys on the dashboard: shown once, made once, rotated, revoked."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.sessions.models import Session
from django.test import Client, override_settings
from django.utils import timezone

from billing.entitlements import callers
from billing.models import ApiKey, Budget, Feature, OutboxMessage, Preferences, Route, StoredResponse
from tests.billing_site.dashboard.conftest import Person
from tests.cast import Customer
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db(transaction=True)
KEY = re.compile(r'<code id="key">([^<]+)</code>')
CALL = re.compile(r'<code id="call">([^<]+)</code>')


@pytest.fixture
def bob_there(bob: Customer, at_dashboard: Callable[..., Person]) -> Person:
    return at_dashboard(bob.user)


def filled(person: Person, **fields: Any) -> dict[str, Any]:
    return {**person.fields("keys/"), "name": "production", "expires": "90", "day": "", "scope": "", **fields}


def key_on(page: str) -> str:
    found = KEY.search(page)
    assert found is not None, page
    return found[1]


def own(customer: Customer) -> str:
    return callers.look_up(customer.key).prefix


def test_a_new_key_is_on_the_answer_and_nowhere_else(bob: Customer, bob_there: Person) -> None:
    answer = bob_there.client.post("/dashboard/keys/", filled(bob_there))
    key = key_on(answer.text)
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    made = ApiKey.objects.get(name="production")
    assert (callers.look_up(key).account, made.scope) == (bob.account, "")
    assert made.expiry_date is not None and made.expiry_date - timezone.now() > timedelta(89)
    secret = key.partition(".")[2]
    assert secret not in bob_there.open("keys/")
    kept = [str(session.get_decoded()) for session in Session.objects.all()]
    kept += [cookie.output() for cookie in bob_there.client.cookies.values()]
    kept += [str(row) for kind in (ApiKey, StoredResponse, OutboxMessage) for row in kind.objects.values()]
    assert not any(secret in text for text in kept)


def test_a_form_that_is_sent_again_makes_no_other_key(bob: Customer, bob_there: Person) -> None:
    fields = filled(bob_there)
    first = bob_there.send("keys/", **fields)
    again = bob_there.send("keys/", **fields)
    assert ApiKey.objects.filter(name="production").count() == 1
    assert key_on(first) not in again and "it is shown only once" in again


def test_the_line_beside_it_makes_a_charged_call(bob: Customer, bob_there: Person) -> None:
    found = CALL.search(bob_there.send("keys/", **filled(bob_there)))
    assert found is not None
    _, _, _, header, url = shlex.split(unescape(found[1]))
    name, _, value = header.partition(": ")
    answer = Client(headers={name: value}).get(urlsplit(url).path)
    assert (answer.status_code, answer["X-Usage-Cost"]) == (200, "2")


def test_where_nothing_simple_is_metered_the_line_asks_how_the_account_stands(bob_there: Person) -> None:
    feature = Feature.objects.get(code="risk_score")
    Route.objects.all().delete()
    for path, method in (("/nothing", ""), ("/api/v1/risk/score", "POST"), ("/api/v1/{id}/x", "")):
        Route.objects.create(path=path, method=method, feature=feature)
    found = CALL.search(bob_there.send("keys/", **filled(bob_there)))
    assert found is not None and found[1].endswith("/api/v1/usage/current")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"expires": ""}, None),
        ({"expires": "30"}, "2031-03-31T12:00:00+00:00"),
        ({"expires": "day", "day": "2031-03-05"}, "2031-03-05T23:00:00+00:00"),
        ({"expires": "", "day": "2031-03-05"}, None),
    ],
)
def test_it_expires_when_it_was_chosen_to(
    bob: Customer, bob_there: Person, fields: dict[str, str], expected: str | None
) -> None:
    Preferences.objects.create(user=bob.user, time_zone="Europe/Berlin")
    with moved_by_hand("2031-03-01T12:00:00Z"):
        bob_there.client.force_login(bob.user)
        bob_there.send("keys/", **filled(bob_there, **fields))
    at = ApiKey.objects.get(name="production").expiry_date
    assert (at and at.isoformat()) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "x" * 51},
        {"name": "a\x00b"},
        {"expires": "day", "day": ""},
        {"expires": "day", "day": "2020-01-01"},
        {"expires": "day", "day": "9999-12-31"},
        {"expires": "7"},
        {"scope": "meter"},
    ],
)
def test_a_wrong_field_makes_no_key(bob_there: Person, fields: dict[str, str]) -> None:
    answer = bob_there.client.post("/dashboard/keys/", filled(bob_there, **fields))
    assert answer.status_code == 200 and "errorlist" in answer.text
    assert ApiKey.objects.count() == 1


@override_settings(MOST_API_KEYS=1)
def test_no_more_keys_than_may_be(bob_there: Person) -> None:
    assert "as many working keys as there can be: 1" in bob_there.send("keys/", **filled(bob_there))
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(("overlap", "works"), [("0", False), ("3600", True)])
def test_a_rotated_key_goes_on_as_long_as_was_chosen(
    bob: Customer, bob_there: Person, overlap: str, works: bool
) -> None:
    page = f"keys/{own(bob)}/rotate/"
    answer = bob_there.confirm(page, overlap=overlap)
    assert callers.look_up(key_on(answer)).account == bob.account
    assert ApiKey.objects.get(pk=bob.key.partition(".")[0][-8:]).revoked is not works
    again = bob_there.client.post(f"/dashboard/{page}", {"overlap": overlap}, follow=True)
    assert KEY.search(again.text) is None and ApiKey.objects.count() == 2
    assert ("rotated already" if works else "revoked already") in again.text


def test_a_wrong_overlap_rotates_nothing(bob: Customer, bob_there: Person) -> None:
    answer = bob_there.client.post(f"/dashboard/keys/{own(bob)}/rotate/", {"overlap": "99999999"})
    assert answer.status_code == 200 and ApiKey.objects.count() == 1


def test_a_key_is_revoked_after_a_question(bob: Customer, bob_there: Person) -> None:
    page = f"keys/{own(bob)}/revoke/"
    assert "cannot be undone" in bob_there.open(page)
    assert bob.api.get("/api/v1/usage/current").status_code == 200
    after = bob_there.confirm(page)
    assert "is revoked" in after and "Keys that have ended" in after
    assert bob.api.get("/api/v1/usage/current").status_code == 401


def test_a_key_is_renamed(bob: Customer, bob_there: Person) -> None:
    page = f"keys/{own(bob)}/rename/"
    assert "bob&#x27;s key" in bob_there.open(page)
    assert "This field is required." in bob_there.client.post(f"/dashboard/{page}", {"name": " "}).text
    assert "laptop" in bob_there.confirm(page, name="laptop")
    assert ApiKey.objects.get().name == "laptop"
    assert re.search(rf"Key {own(bob)} changed</td><td>bob</td>", bob_there.open("activity/"))
    bob_there.confirm(f"keys/{own(bob)}/revoke/")
    assert "is revoked" in bob_there.confirm(page, name="other") and ApiKey.objects.get().name == "laptop"


def test_a_key_gets_limits_which_are_shown_and_act(bob: Customer, bob_there: Person) -> None:
    page = f"keys/{own(bob)}/limits/"
    assert page in bob_there.open("keys/")
    bob_there.confirm(page, tokens_per_day="12", calls_per_run="1500")
    shown = bob_there.open("keys/")
    assert "Tokens per day" in shown and "1,500" in shown
    assert [bob.api.get("/api/v1/trace/start").status_code for _ in range(2)] == [200, 429]
    stands = re.sub(r"<[^>]+>|\s+", " ", bob_there.open(page))
    assert re.search(r"Tokens per day +10 +12 +", stands)
    assert re.search(rf"Key {own(bob)} changed</td><td>bob</td>", bob_there.open("activity/"))
    bob_there.confirm(page, tokens_per_day="", calls_per_run="")
    assert bob.api.get("/api/v1/trace/start").status_code == 200
    assert not Budget.objects.exists()


def test_a_new_key_is_made_with_its_limits_or_not_at_all(bob: Customer, bob_there: Person) -> None:
    wrong = bob_there.client.post("/dashboard/keys/", filled(bob_there, tokens_per_day="-1"))
    assert "greater than or equal to 0" in wrong.text and ApiKey.objects.count() == 1
    bob_there.client.post("/dashboard/keys/", filled(bob_there, tokens_per_day="7"))
    assert Budget.objects.get().key == ApiKey.objects.get(name="production")
    assert Budget.objects.get().tokens_per_day == 7


def test_a_key_that_was_rotated_offers_it_no_more(bob: Customer, bob_there: Person) -> None:
    page = f"/dashboard/keys/{own(bob)}/rotate/"
    assert page in bob_there.open("keys/")
    bob_there.confirm(f"keys/{own(bob)}/rotate/", overlap="3600")
    assert page not in bob_there.open("keys/")


def test_a_key_that_says_what_was_used_is_rotated_by_staff_only(bob: Customer, bob_there: Person) -> None:
    meter, _ = ApiKey.issue(account=bob.user, name="the operator's", scope="meter")
    page = f"/dashboard/keys/{meter.pk}/rotate/"
    assert page not in bob_there.open("keys/")
    answer = bob_there.client.post(page, {"overlap": "3600"}, follow=True)
    assert KEY.search(answer.text) is None and "our staff" in answer.text
    assert ApiKey.objects.filter(scope="meter").count() == 1


def test_keys_of_others_are_not_there(alice: Customer, bob_there: Person) -> None:
    assert alice.key.partition(".")[0] not in bob_there.open("keys/")
    for action in ("rename", "limits", "rotate", "revoke"):
        page = f"/dashboard/keys/{own(alice)}/{action}/"
        assert bob_there.client.get(page).status_code == 404
        assert bob_there.client.post(page, {"overlap": "0"}).status_code == 404
    assert alice.api.get("/api/v1/usage/current").status_code == 200


def test_a_form_needs_its_csrf_token_and_a_person(bob: Customer, bob_there: Person) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(bob.user)
    for path in ("keys/", f"keys/{own(bob)}/rotate/", f"keys/{own(bob)}/revoke/"):
        assert strict.post(f"/dashboard/{path}", {"name": "x", "overlap": "0"}).status_code == 403
        assert Client().get(f"/dashboard/{path}")["Location"].startswith("/accounts/login/")
    assert ApiKey.objects.count() == 1
