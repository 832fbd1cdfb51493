"""Mails without a provider: kept for staff to read, and for superusers alone."""

from __future__ import annotations

import pytest
from django.core import mail
from django.core.mail import BadHeaderError, EmailMultiAlternatives
from django.utils import timezone

from billing.erasure import erase
from billing.mails import mailbox
from billing.models import MailboxMessage
from tests.cast import Customer, Staff

pytestmark = pytest.mark.django_db
BACKEND = "billing.mails.mailbox.Mailbox"
HTML = '<p>Hello</p><script>alert("1")</script>'


def send(*to: str, subject: str = "Hello") -> None:
    message = EmailMultiAlternatives(subject, "Hello in text", to=list(to), connection=mail.get_connection(BACKEND))
    message.attach_alternative(HTML, "text/html")
    message.attach("1.pdf", b"%PDF", "application/pdf")
    message.send()


def test_a_mail_is_kept_with_all_that_staff_look_at(bob: Customer) -> None:
    send("Bob@customers.example")
    kept = MailboxMessage.objects.get()
    assert (kept.account, kept.recipient, kept.subject) == (bob.user, "Bob@customers.example", "Hello")
    assert (kept.text, kept.html, kept.attachments) == ("Hello in text", HTML, ["1.pdf"])
    assert kept.headers["Message-ID"]


def test_each_recipient_has_a_row(bob: Customer) -> None:
    send("a@x.example", "Bob <bob@customers.example>")
    owners = dict(MailboxMessage.objects.values_list("recipient", "account"))
    assert owners == {"a@x.example": None, "Bob <bob@customers.example>": bob.account}


def test_a_line_break_gets_into_no_header(db: None) -> None:
    with pytest.raises(BadHeaderError):
        send("a@x.example", subject="Hello\nBcc: b@x.example")
    assert not MailboxMessage.objects.exists()


def test_the_oldest_go(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "KEPT", 2)
    for number in range(4):
        send(f"{number}@x.example")
    assert set(MailboxMessage.objects.values_list("recipient", flat=True)) == {"2@x.example", "3@x.example"}


def test_superusers_read_it(superuser: Staff) -> None:
    send("a@x.example")
    kept = MailboxMessage.objects.get()
    assert "a@x.example" in superuser.open("billing/mailboxmessage/").text
    page = superuser.open(f"billing/mailboxmessage/{kept.pk}/change/").text
    assert "Hello in text" in page and "1.pdf" in page
    assert 'sandbox=""' in page and "&lt;script&gt;" in page and HTML not in page


def test_other_staff_do_not_whatever_they_may(clerk: Staff) -> None:
    send("a@x.example")
    clerk.may("billing.view_sentmail", "auth.view_user")
    for path in ("billing/mailboxmessage/", f"billing/mailboxmessage/{MailboxMessage.objects.get().pk}/change/"):
        assert clerk.open(path).status_code == 403
    assert "mailboxmessage" not in clerk.open("billing/sentmail/").text


def test_it_goes_with_the_person(bob: Customer) -> None:
    send("bob@customers.example")
    erase.erase(bob.account, timezone.now(), with_open_invoices=True)
    assert not MailboxMessage.objects.exists()
