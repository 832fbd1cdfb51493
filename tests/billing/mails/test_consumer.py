"""One mail a message, whatever is repeated, refused or out of reach."""

from __future__ import annotations

import smtplib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from django.db import connections

from billing.mails import consumer
from billing.mails.consumer import BeingSent, send_mail_of
from billing.models import OutboxMessage, Preferences, SentMail
from billing.outbox.kinds import Happened
from tests.billing.mails.mailing import happened, mails
from tests.billing.outbox.taking import Clock, cursor_of, number
from tests.cast import Customer

pytestmark = pytest.mark.django_db
LATER = "2999-01-01T00:00:00+00:00"


@pytest.fixture
def message(bob: Customer) -> OutboxMessage:
    return happened(Happened.API_KEY_REVOKED, bob.account, key="abcdefgh")


class Provider:
    """In place of Django's way to a provider: says no as it is told."""

    def __init__(self, error: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error = error
        send = consumer._send

        def send_or_fail(*args: Any) -> bool:
            if self.error is not None:
                raise self.error
            return send(*args)

        monkeypatch.setattr(consumer, "_send", send_or_fail)


def row() -> SentMail:
    return SentMail.objects.get()


def test_a_message_that_comes_again_is_not_mailed_again(message: OutboxMessage) -> None:
    send_mail_of(message)
    send_mail_of(message)
    assert len(mails()) == 1
    assert (row().message_id, row().tries, row().error) == (message.pk, 1, "") and row().sent_at


def test_who_has_no_address_gets_nothing(alice: Customer) -> None:
    send_mail_of(happened(Happened.API_KEY_REVOKED, alice.account, key="abcdefgh"))
    assert mails() == [] and not SentMail.objects.exists()


def test_a_message_may_outlive_its_user(message: OutboxMessage) -> None:
    send_mail_of(happened(Happened.API_KEY_REVOKED, 10**9, key="abcdefgh"))
    assert mails() == []


def test_who_is_deactivated_gets_invoices_alone(message: OutboxMessage, bob: Customer) -> None:
    bob.user.is_active = False
    bob.user.save()
    send_mail_of(message)
    assert mails() == []


def test_a_provider_that_is_down_is_tried_again(message: OutboxMessage, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider(ConnectionRefusedError("no such host"), monkeypatch)
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            send_mail_of(message)
    assert (row().tries, row().error, row().sent_at) == (2, "ConnectionRefusedError: no such host", None)
    provider.error = None
    send_mail_of(message)
    assert (row().tries, row().error, len(mails())) == (3, "", 1)


@pytest.mark.parametrize(
    ("error", "is_final"),
    [
        (smtplib.SMTPRecipientsRefused({"bob@customers.example": (550, b"no such user")}), True),
        (smtplib.SMTPRecipientsRefused({"bob@customers.example": (450, b"greylisted")}), False),
        (smtplib.SMTPDataError(554, b"looks like spam"), True),
        (smtplib.SMTPDataError(451, b"later"), False),
        (smtplib.SMTPSenderRefused(550, b"not you", "us@a.example"), False),
        (smtplib.SMTPAuthenticationError(535, b"wrong password"), False),
    ],
)
def test_what_is_refused_for_good_holds_nobody_up(
    message: OutboxMessage, monkeypatch: pytest.MonkeyPatch, error: Exception, is_final: bool
) -> None:
    provider = Provider(error, monkeypatch)
    if is_final:
        send_mail_of(message)
    else:
        with pytest.raises(type(error)):
            send_mail_of(message)
    provider.error = None
    send_mail_of(message)
    assert len(mails()) == (not is_final)
    assert (row().given_up_at is not None) == is_final


def test_after_three_days_the_accounts_later_mails_go_on(
    message: OutboxMessage, bob: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Provider(OSError("unreachable"), monkeypatch)
    with pytest.raises(OSError):
        send_mail_of(message)
    SentMail.objects.update(first_tried_at=row().first_tried_at - timedelta(days=3))
    send_mail_of(message)
    assert row().given_up_at and row().error == "OSError: unreachable"
    provider.error = None
    send_mail_of(happened(Happened.API_KEY_REVOKED, bob.account, key="ijklmnop"))
    assert len(mails()) == 1


def test_a_duplicate_can_be_told_by_its_message_id(message: OutboxMessage) -> None:
    send_mail_of(message)
    SentMail.objects.update(sent_at=None)  # as if the process had died before its note
    send_mail_of(message)
    first, second = (sent.extra_headers["Message-ID"] for sent in mails())
    assert first == second and first.startswith(f"<{message.pk}.")


@pytest.mark.django_db(transaction=True)
def test_two_processes_send_one_mail(message: OutboxMessage, monkeypatch: pytest.MonkeyPatch) -> None:
    send, begun, go_on = consumer._send, Event(), Event()

    def slowly(*args: Any) -> bool:
        begun.set()
        assert go_on.wait(30)
        return send(*args)

    monkeypatch.setattr(consumer, "_send", slowly)

    def other() -> None:
        try:
            send_mail_of(message)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(other)
        assert begun.wait(30)
        with pytest.raises(BeingSent):
            send_mail_of(message)
        go_on.set()
        first.result()
    send_mail_of(message)
    assert len(mails()) == 1


def test_notices_can_be_turned_off_and_the_others_cannot(message: OutboxMessage, bob: Customer) -> None:
    Preferences.objects.create(user=bob.user, notices=False)
    said = {"crossing": 1, "limit": "included", "percent": 80, "tokens": 500, "used": 400, "window_ends_at": LATER}
    send_mail_of(happened(Happened.THRESHOLD_CROSSED, bob.account, **said))
    assert mails() == []
    send_mail_of(message)
    assert len(mails()) == 1


@pytest.mark.django_db(transaction=True)
def test_the_outbox_brings_it(bob: Customer) -> None:
    from billing.outbox.delivery import Delivery

    happened(Happened.API_KEY_REVOKED, bob.account, key="abcdefgh")
    number(["mails"])
    assert Delivery("mails", send_mail_of, Clock()).run() >= 1
    assert cursor_of(bob.account, "mails").error == ""
    assert [sent.subject for sent in mails()][-1] == "An API key was revoked"
