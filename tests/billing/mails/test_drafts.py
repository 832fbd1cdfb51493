"""What each mail says, in both languages and the reader's time zone; and that nothing that somebody typed gets out."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from billing.documents.issued import of_invoice
from billing.documents.pdf import pdf_of
from billing.invoicing import credit_notes
from billing.mails.consumer import send_mail_of
from billing.mails.drafts import DRAFTS
from billing.models import ApiKey, Invoice, KnownPlace, Member, OutboxMessage, Plan, Preferences, Subscription
from billing.models.members import Role
from billing.outbox import actor
from billing.outbox.actor import acting_as
from billing.outbox.kinds import Happened
from billing.subscriptions import canceling, changes, trials
from billing.subscriptions.period_end import renewal
from tests.billing.mails.mailing import happened, html_of, mail_about, mail_of, mails
from tests.billing.mails.test_payment_drafts import CASES as OF_PAYMENTS
from tests.cast import Customer
from tests.factories import make_seller

pytestmark = pytest.mark.django_db
NASTY = '<b>Tim</b> & "Co"\nBcc: x@y.example'


def upgrade(bob: Customer, to: str = "pro") -> None:
    changes.upgrade(bob.account, Plan.objects.get(code=to), timezone.now())


def downgrade(bob: Customer) -> None:
    changes.downgrade_with_effective_date(bob.account, Plan.objects.get(code="community"), timezone.now())


def take_back(bob: Customer) -> None:
    downgrade(bob)
    changes.cancel_scheduled_change(bob.account, timezone.now())


def apply(bob: Customer) -> None:
    downgrade(bob)
    renewal.renew_due(Subscription.objects.get(account=bob.user).period_ends_at)


def cancel(bob: Customer) -> None:
    canceling.cancel(bob.account, timezone.now())


def withdraw(bob: Customer) -> None:
    cancel(bob)
    canceling.withdraw(bob.account, timezone.now())


def end(bob: Customer) -> None:
    cancel(bob)
    renewal.renew_due(Subscription.objects.get(account=bob.user).period_ends_at)


def revoke(bob: Customer) -> None:
    ApiKey.objects.get(account=bob.user).revoke()


def rotate(bob: Customer) -> None:
    prefix = ApiKey.objects.get(account=bob.user).prefix
    happened(Happened.API_KEY_ROTATED, bob.account, key=prefix, successor="ijklmnop", overlap_seconds=3600)


def log_in(bob: Customer) -> None:
    now = timezone.now()
    place = KnownPlace.objects.create(
        account=bob.user, digest="1", browser="Firefox, Linux", network="192.0.2.0/24", first_seen_at=now, seen_at=now
    )
    happened(Happened.NEW_PLACE, bob.account, place=place.pk)


def use(bob: Customer, **more: object) -> OutboxMessage:
    ends_at = (timezone.now() + timedelta(days=3)).isoformat()
    said = {"crossing": 1, "limit": "included", "percent": 80, "tokens": 5000, "used": 4000, "window_ends_at": ends_at}
    return happened(Happened.THRESHOLD_CROSSED, bob.account, **said | more)


CASES: list[tuple[Callable[[Customer], object], Happened, str]] = [
    (downgrade, Happened.CHANGE_SCHEDULED, "Your plan changes to Community"),
    (take_back, Happened.SCHEDULE_CANCELLED, "You stay on Starter"),
    (apply, Happened.SCHEDULE_APPLIED, "You are on Community now"),
    (upgrade, Happened.PLAN_CHANGED, "You are on Pro now"),
    (cancel, Happened.CANCEL_SCHEDULED, "Your subscription to Starter ends"),
    (withdraw, Happened.CANCEL_WITHDRAWN, "Your subscription to Starter goes on"),
    (end, Happened.SUBSCRIPTION_ENDED, "Your subscription to Starter has ended"),
    (upgrade, Happened.INVOICE_ISSUED, "Invoice"),
    (lambda _: None, Happened.API_KEY_ISSUED, "A new API key was made"),
    (rotate, Happened.API_KEY_ROTATED, "An API key was replaced"),
    (revoke, Happened.API_KEY_REVOKED, "An API key was revoked"),
    (log_in, Happened.NEW_PLACE, "A log-in from a new place"),
    (use, Happened.THRESHOLD_CROSSED, "80 % of your tokens are used"),
]


def test_every_mail_is_looked_at() -> None:
    of_webhooks = {Happened.WEBHOOK_DISABLED, Happened.OPERATORS_WEBHOOK_DISABLED}
    elsewhere = {Happened.TRIAL_ENDING, Happened.DISPUTE_OPENED, *of_webhooks, *(kind for _, kind, *_ in OF_PAYMENTS)}
    assert {kind for _, kind, _ in CASES} | elsewhere == set(DRAFTS)


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize(("does", "kind", "subject"), CASES, ids=[kind for _, kind, _ in CASES])
def test_it_is_said_in_the_readers_language(
    bob: Customer, language: str, does: Callable[[Customer], object], kind: Happened, subject: str
) -> None:
    Preferences.objects.create(user=bob.user, language=language, time_zone="Asia/Tokyo")
    does(bob)
    sent = mail_about(kind, bob.account)
    assert sent.to == ["bob@customers.example"]
    assert f'<html lang="{language}">' in html_of(sent)
    if language == "en":
        assert sent.subject.startswith(subject)
    assert " UTC" not in sent.body, "instants are in the reader's zone"
    assert "{" not in sent.body + html_of(sent) and "None" not in sent.body
    assert "\n\n\n" not in sent.body


@pytest.mark.parametrize(("does", "kind"), [(case[0], case[1]) for case in CASES], ids=[kind for _, kind, _ in CASES])
def test_names_get_neither_into_the_html_nor_into_the_headers(
    bob: Customer, does: Callable[[Customer], object], kind: Happened
) -> None:
    bob.user.username = NASTY
    bob.user.save()
    Plan.objects.update(name=NASTY)
    ApiKey.objects.update(name=NASTY)
    does(bob)
    sent = mail_about(kind, bob.account)
    assert "\n" not in sent.subject and "\r" not in sent.subject
    assert "<b>Tim" not in html_of(sent) and "&lt;b&gt;Tim" in html_of(sent)
    assert '<b>Tim</b> & "Co" Bcc' in sent.body, "text is not HTML"
    assert "Bcc" not in sent.message()


def test_a_key_is_named_as_it_begins_and_with_who_made_it(bob: Customer) -> None:
    mia = User.objects.create_user("mia", "mia@customers.example")
    Member.objects.create(account=bob.user, user=mia, role=Role.DEVELOPER, created_at=timezone.now())
    for who, said in ((mia.pk, "By: mia@customers.example"), (bob.account, "")):
        with acting_as(actor.user(who)):
            key, _ = ApiKey.issue(account_id=bob.account, name="laptop")
        body = mail_of(OutboxMessage.objects.filter(kind=Happened.API_KEY_ISSUED).latest("pk")).body
        assert f"begins with {key.beginning}," in body and f"Key: {key.beginning}…" in body
        assert (said in body) and ("By:" in body) == bool(said)


def test_a_cancellation_says_what_follows(bob: Customer) -> None:
    cancel(bob)
    assert "Plan from then on: Community" in mail_about(Happened.CANCEL_SCHEDULED, bob.account).body


def test_a_trial_that_ends_says_what_follows(customer: Callable[..., Customer], bob: Customer) -> None:
    pro = Plan.objects.get(code="pro")
    pro.trial_days = 14
    pro.save()
    alice = customer("alice", "community")
    alice.user.email = "alice@customers.example"
    alice.user.save()
    now = timezone.now()
    changes.upgrade(alice.account, pro, now)
    trials.announce_ending(now + timedelta(days=12))
    sent = mail_about(Happened.TRIAL_ENDING, alice.account)
    assert sent.subject == "Your trial of Pro ends soon"
    assert "Next invoice: 49.00 USD" in sent.body and "Pro goes on after it" in sent.body


def test_an_invoice_says_what_is_due_and_how_to_pay(bob: Customer) -> None:
    make_seller(iban="DE89370400440532013000", payment_text="By bank transfer.")
    upgrade(bob)
    invoice = Invoice.objects.filter(account=bob.user).latest("pk")
    sent = mail_about(Happened.INVOICE_ISSUED, bob.account)
    assert sent.subject == f"Invoice {invoice}: {invoice.due:.2f} USD due"
    for line in (f"Due: {invoice.due:.2f} USD", "IBAN: DE89 3704 0044 0532 0130 00", f"Reference: {invoice}"):
        assert line in sent.body
    assert "By bank transfer." in sent.body
    name, content, media_type = sent.attachments[0]
    assert (name, media_type) == (f"{invoice}.pdf", "application/pdf")
    assert content == pdf_of(of_invoice(invoice))


def test_amounts_are_written_as_the_language_does(bob: Customer) -> None:
    Preferences.objects.create(user=bob.user, language="de")
    upgrade(bob, "enterprise")
    total = Invoice.objects.filter(account=bob.user).latest("pk").total
    assert f"{total:.2f}".replace(".", ",") + " USD" in mail_about(Happened.PLAN_CHANGED, bob.account).body


def test_an_invoice_that_was_voided_since_is_not_mailed(bob: Customer) -> None:
    upgrade(bob)
    invoice = Invoice.objects.filter(account=bob.user, status="open").latest("pk")
    credit_notes.void(invoice, timezone.now())
    send_mail_of(OutboxMessage.objects.filter(kind=Happened.INVOICE_ISSUED, account=bob.account).latest("pk"))
    assert mails() == []


def test_a_change_that_was_taken_back_since_is_not_mailed(bob: Customer) -> None:
    take_back(bob)
    send_mail_of(OutboxMessage.objects.get(kind=Happened.CHANGE_SCHEDULED, account=bob.account))
    assert mails() == []


def test_a_notice_of_a_window_that_has_ended_is_not_mailed(bob: Customer) -> None:
    send_mail_of(use(bob, window_ends_at=(timezone.now() - timedelta(seconds=1)).isoformat()))
    assert mails() == []


@pytest.mark.parametrize(
    ("said", "subject", "sentence"),
    [
        ({}, "80 % of your tokens are used", "calls are refused until"),
        ({"percent": 100, "used": 5000}, "All included tokens are used", "Raise the plan"),
        (
            {"percent": 100, "used": 5000, "overage_price": "0.5000", "currency": "USD", "cap_tokens": 2000},
            "All included tokens are used",
            "billed as overage",
        ),
        ({"limit": "cap", "percent": 100, "used": 7000, "tokens": 7000}, "No tokens are left", "Raise the cap"),
    ],
)
def test_a_notice_says_what_happens_next(bob: Customer, said: dict[str, object], subject: str, sentence: str) -> None:
    sent = mail_of(use(bob, **said))
    assert sent.subject.startswith(subject) and sentence in sent.body
    assert ("1,000 tokens more cost: 0.50 USD" in sent.body) == ("overage_price" in said)


def test_only_a_notice_can_be_unsubscribed_from(bob: Customer) -> None:
    notice = mail_of(use(bob))
    link = notice.extra_headers["List-Unsubscribe"]
    assert re.fullmatch(r"<http://localhost:8000/dashboard/unsubscribe/[^/]+/>", link)
    assert notice.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert link[1:-1] in notice.body and link[1:-1] in html_of(notice)
    revoke(bob)
    other = mail_about(Happened.API_KEY_REVOKED, bob.account)
    assert "List-Unsubscribe" not in other.extra_headers and "unsubscribe" not in other.body
