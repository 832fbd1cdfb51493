"""The doors that django-allauth opens here: addresses, forgotten passwords, second factors, closed sign-up."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal import auth as totp
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client

from tests.cast import Customer, Staff

pytestmark = pytest.mark.django_db
ADDRESS, PASSWORD, OTHER = "bob@customers.example", "a long enough one", "another long one"


@pytest.fixture
def bob(bob: Customer) -> Customer:
    bob.user.email = ADDRESS
    bob.user.set_password(PASSWORD)
    bob.user.save()
    return bob


def link_in(message: Any) -> str:
    found = re.search(r"http://testserver(\S+)", message.body)
    assert found, message.body
    return found[1]


def logs_in(password: str = PASSWORD, door: str = "/accounts/login/") -> str:
    """Where a log-in leads, "" where it is refused."""
    answer: Any = Client().post(door, {"login": "bob", "password": password})
    return str(answer.url) if answer.status_code == 302 else ""


def code_of(secret: str) -> str:
    return totp.format_hotp_value(totp.hotp_value(secret, int(time.time()) // 30))


def make_factor(user: User) -> list[str]:
    """A second factor, made on the pages; gives the codes for a lost phone."""
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    client = Client()
    assert client.post("/accounts/login/", {"login": user.username, "password": PASSWORD}).status_code == 302
    activate = "/accounts/2fa/totp/activate/"
    assert "/accounts/reauthenticate/" in client.get(activate).url
    page: Any = client.post(f"/accounts/reauthenticate/?next={activate}", {"password": PASSWORD}, follow=True)
    secret = page.context["form"].secret
    assert secret in page.text
    shown: Any = client.post(activate, {"code": code_of(secret)}, follow=True)
    codes = client.get("/accounts/2fa/recovery-codes/").context["unused_codes"]
    assert all(code in shown.text for code in codes)
    return codes


def test_an_address_is_confirmed_by_the_link_of_its_mail(catalogue: None) -> None:
    client = Client()
    client.post("/accounts/signup/", {"email": "tim@customers.example", "password1": PASSWORD})
    address = EmailAddress.objects.get(email="tim@customers.example")
    link = link_in(mail.outbox[0])
    assert "tim@customers.example" in client.get(link).text
    address.refresh_from_db()
    assert not address.verified, "who only follows links, as scanners of mails do, confirms nothing"
    assert "You have confirmed" in client.post(link, follow=True).text
    address.refresh_from_db()
    assert address.verified


def test_a_forgotten_password_is_set_anew_once(bob: Customer) -> None:
    client = Client()
    client.post("/accounts/password/reset/", {"email": ADDRESS})
    link = link_in(mail.outbox[0])
    form: Any = client.get(link, follow=True)
    client.post(form.redirect_chain[-1][0], {"password1": OTHER, "password2": OTHER})
    assert (logs_in(PASSWORD), logs_in(OTHER)) == ("", "/dashboard/")
    assert "possibly because it has already been used" in Client().get(link, follow=True).text


def test_a_reset_does_not_tell_who_has_an_account(bob: Customer) -> None:
    answers = [
        Client().post("/accounts/password/reset/", {"email": address}, follow=True).text
        for address in (ADDRESS, "nobody@customers.example")
    ]
    assert all("We have sent you an email" in answer for answer in answers)


@pytest.mark.parametrize("door", ["/accounts/login/", "/admin/login/", "/api/auth/login/"])
def test_a_second_factor_is_asked_at_every_door(bob: Customer, door: str) -> None:
    codes = make_factor(bob.user)
    assert "/accounts/2fa/authenticate/" in logs_in(door=door)
    client = Client()
    client.post(door, {"login": "bob", "password": PASSWORD})
    assert client.get("/dashboard/").status_code == 302, "the password alone opens nothing"
    assert client.post("/accounts/2fa/authenticate/", {"code": "000000"}).status_code == 200
    client.post("/accounts/2fa/authenticate/", {"code": codes[0]})
    assert client.get("/dashboard/").status_code == 200


def test_one_request_too_many_is_answered_by_a_page_of_the_site(bob: Customer) -> None:
    answers = [Client().post("/accounts/password/reset/", {"email": ADDRESS}) for _ in range(6)]
    assert answers[-1].status_code == 429
    assert "Too many tries" in answers[-1].text and "site.css" in answers[-1].text


def test_guesses_of_a_second_factor_end(bob: Customer) -> None:
    code = make_factor(bob.user)[0]
    guesser = Client()
    guesser.post("/accounts/login/", {"login": "bob", "password": PASSWORD})
    answers = [guesser.post("/accounts/2fa/authenticate/", {"code": f"{n:06}"}) for n in range(8)]
    assert "Incorrect code" in answers[4].text
    assert "Too many failed login attempts" in answers[5].text
    other = Client(REMOTE_ADDR="10.0.0.9")
    other.post("/accounts/login/", {"login": "bob", "password": PASSWORD})
    other.post("/accounts/2fa/authenticate/", {"code": code})
    assert other.get("/dashboard/").status_code == 302, "also with a right code, and from another address"


def test_sign_up_can_be_closed(catalogue: None, settings: Any) -> None:
    settings.SIGN_UP = False
    form = {"email": "tim@customers.example", "password1": PASSWORD}
    assert "Sign Up Closed" in Client().get("/accounts/signup/").text
    assert "Sign Up Closed" in Client().post("/accounts/signup/", form).text
    assert not User.objects.exists()
    assert "/accounts/signup/" not in Client().get("/").text
    assert "/accounts/signup/" not in Client().get("/accounts/login/").text


@pytest.mark.parametrize("confirmed_first", [False, True])
def test_sign_up_tells_of_an_account_only_where_who_signs_up_is_let_in_at_once(
    catalogue: None, settings: Any, confirmed_first: bool
) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory" if confirmed_first else "optional"
    form = {"email": "tim@customers.example", "password1": PASSWORD}
    first, again = (Client().post("/accounts/signup/", form) for _ in range(2))
    assert first.headers["Location"] == ("/accounts/confirm-email/" if confirmed_first else "/dashboard/")
    assert (again.headers.get("Location") == first.headers["Location"]) is confirmed_first
    assert ("already registered" in again.text) is not confirmed_first


@pytest.mark.parametrize("door", ["/accounts/login/", "/admin/login/", "/api/auth/login/"])
def test_doors_and_their_mails_are_polite_in_german(bob: Customer, door: str) -> None:
    german = Client(headers={"accept-language": "de"})
    page = german.get(door).text
    assert 'lang="de"' in page and "Sie haben noch kein Konto?" in page
    german.post("/accounts/password/reset/", {"email": ADDRESS})
    assert "Sie erhalten diese E-Mail" in mail.outbox[0].body


def test_a_mail_names_the_site_and_not_its_host(bob: Customer) -> None:
    Client().post("/accounts/password/reset/", {"email": ADDRESS})
    assert mail.outbox[0].body.startswith("Hello from Metered API!")


def test_languages_are_named_in_themselves(superuser: Staff) -> None:
    for language in ("en", "de"):
        page = Client(headers={"accept-language": language}).get("/accounts/login/").text
        assert ">English</button>" in page and ">Deutsch</button>" in page
