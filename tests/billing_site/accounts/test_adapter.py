"""django-allauth's mails go the way of all others, and a provider that is down stops nobody."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from billing.models import MailboxMessage, Preferences

pytestmark = pytest.mark.django_db
SIGN_UP = {"email": "tim@customers.example", "password1": "quite a long one"}


def test_a_confirmation_lies_in_the_mailbox(catalogue: None, settings: Any) -> None:
    settings.EMAIL_BACKEND = "billing.mails.mailbox.Mailbox"
    assert Client().post("/accounts/signup/", SIGN_UP).status_code == 302
    kept = MailboxMessage.objects.get()
    assert (kept.recipient, kept.account.email) == ("tim@customers.example", "tim@customers.example")
    assert kept.sender == settings.DEFAULT_FROM_EMAIL
    assert "/accounts/confirm-email/" in kept.text


def test_who_signs_up_while_the_provider_is_down_has_an_account_and_is_told(catalogue: None, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    page = Client().post("/accounts/signup/", SIGN_UP, follow=True)
    assert User.objects.filter(email="tim@customers.example").exists()
    assert "could not be sent" in page.text


@pytest.mark.parametrize("language", ["en", "de"])
def test_mails_are_in_the_language_of_the_sign_up(catalogue: None, language: str) -> None:
    Client(headers={"accept-language": language}).post("/accounts/signup/", SIGN_UP)
    assert Preferences.objects.get(user__email="tim@customers.example").language == language
