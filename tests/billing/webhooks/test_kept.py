"""What is kept of webhooks and for how long; secrets under a new SECRET_KEY; erasure; mails to owner and staff."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.checks import run_checks
from django.utils import timezone, translation

from billing.erasure import erase
from billing.mails.consumer import send_mail_of
from billing.mails.drafts.webhooks import disabled
from billing.models import OutboxMessage, WebhookDelivery, WebhookEndpoint, WebhookMessage
from billing.outbox.kinds import Happened
from billing.webhooks import endpoints, retention, secrets
from billing.webhooks.figures import figures
from tests.billing.webhooks.telling import anew, listen, listen_as_operator, told, try_next
from tests.cast import Customer
from tests.servers.webhooks.receiver import Receiver, answering

DAY = timedelta(days=1)


@pytest.mark.django_db
def test_after_thirty_days_messages_go_unless_they_are_still_tried(bob: Customer, receiver: Receiver) -> None:
    new = listen(bob.account, receiver.url)
    old, tried, fresh = told(bob.account), told(bob.account), told(bob.account)
    now = timezone.now()
    WebhookMessage.objects.exclude(pk=fresh.message_id).update(created_at=now - 31 * DAY)
    WebhookDelivery.objects.filter(pk=old.pk).update(state="dead", next_try_at=None, ended_at=now - 30 * DAY)
    assert retention.purge(now) == 1
    assert set(WebhookDelivery.objects.values_list("pk", flat=True)) == {tried.pk, fresh.pk}
    assert WebhookMessage.objects.count() == 2
    assert retention.purge(now + 31 * DAY) == 0, "both are still tried"
    assert anew(new.endpoint).is_enabled


@pytest.mark.django_db
def test_a_new_secret_key_needs_the_old_one_for_a_night(bob: Customer, receiver: Receiver, settings: Any) -> None:
    new = listen(bob.account, receiver.url)
    rotated = endpoints.rotate(bob.account, new.endpoint.pk, timezone.now())
    before, settings.SECRET_KEY = settings.SECRET_KEY, "the new one"
    assert lost() == 1
    settings.SECRET_KEY_FALLBACKS = [before]
    assert lost() == 0
    assert retention.renew_secrets(timezone.now()) == 0
    settings.SECRET_KEY_FALLBACKS = []
    assert lost() == 0
    row = anew(new.endpoint)
    assert [secrets.decrypted(each) for each in (row.secret, row.previous_secret)] == [rotated.secret, new.secret]
    retention.renew_secrets(timezone.now() + 2 * DAY)
    assert (anew(row).previous_secret, row.previous_until) == ("", None)


def lost() -> int:
    """Endpoints whose secrets the check says cannot be read."""
    found = [each for each in run_checks(include_deployment_checks=True) if each.id == "billing_site.W040"]
    return len(found)


@pytest.mark.django_db
def test_a_secret_that_is_lost_stays_until_it_is_rotated(bob: Customer, receiver: Receiver, settings: Any) -> None:
    new = listen(bob.account, receiver.url)
    settings.SECRET_KEY = "another"
    assert retention.renew_secrets(timezone.now()) == 1
    endpoints.rotate(bob.account, new.endpoint.pk, timezone.now() - 2 * DAY)
    assert retention.renew_secrets(timezone.now()) == 0


@pytest.mark.django_db(transaction=True)
def test_an_erasure_takes_addresses_and_bodies_with_it(alice: Customer, receiver: Receiver) -> None:
    listen(alice.account, receiver.url)
    listen_as_operator(receiver.url)
    told(alice.account)
    assert WebhookDelivery.objects.count() == 2
    assert "webhook endpoints" in erase.holdings(alice.account).goes
    erase.erase(alice.account, timezone.now())
    assert WebhookEndpoint.objects.filter(account__isnull=False).count() == 0
    assert WebhookEndpoint.objects.filter(account=None).count() == 1
    assert not WebhookMessage.objects.exists() and not WebhookDelivery.objects.exists()


def stop(owner: int, receiver: Receiver, kind: Happened) -> OutboxMessage:
    receiver.behave = answering(410)
    told(owner)
    while try_next():
        pass
    return OutboxMessage.objects.get(kind=kind)


@pytest.mark.django_db
def test_the_owner_gets_one_mail_in_the_own_language(bob: Customer, receiver: Receiver) -> None:
    bob.user.email = "bob@customers.example"
    bob.user.save()
    new = listen(bob.account, receiver.url)
    message = stop(bob.account, receiver, Happened.WEBHOOK_DISABLED)
    send_mail_of(message)
    send_mail_of(message)
    (sent,) = mail.outbox  # type: ignore[attr-defined]
    assert (sent.subject, sent.to) == ("A webhook was disabled", ["bob@customers.example"])
    assert "answered 410 Gone" in sent.body and f"/dashboard/webhooks/{new.endpoint.pk}/" in sent.body
    with translation.override("de"):
        assert disabled(message) is not None


@pytest.mark.django_db
def test_of_the_operators_staff_get_it(bob: Customer, receiver: Receiver, settings: Any) -> None:
    settings.STAFF_EMAIL = "staff@operator.example"
    new = listen_as_operator(receiver.url)
    send_mail_of(stop(bob.account, receiver, Happened.OPERATORS_WEBHOOK_DISABLED))
    (sent,) = mail.outbox  # type: ignore[attr-defined]
    assert sent.to == ["staff@operator.example"]
    assert f"/admin/billing/webhookendpoint/{new.endpoint.pk}/change/" in sent.body


@pytest.mark.django_db
def test_enabled_again_before_the_mail_there_is_nothing_to_tell(bob: Customer, receiver: Receiver) -> None:
    bob.user.email = "bob@customers.example"
    bob.user.save()
    new = listen(bob.account, receiver.url)
    message = stop(bob.account, receiver, Happened.WEBHOOK_DISABLED)
    endpoints.change(bob.account, new.endpoint.pk, timezone.now(), {"enabled": True})
    send_mail_of(message)
    assert not mail.outbox  # type: ignore[attr-defined]


@pytest.mark.django_db
def test_figures_say_how_it_stands(alice: Customer, bob: Customer, receiver: Receiver) -> None:
    assert figures(timezone.now()) == (0, 0, 0, 0, 0.0)
    listen(alice.account, receiver.url)
    receiver.behave = answering(500)
    listen(bob.account, receiver.url)
    told(bob.account)
    try_next()
    told(alice.account)
    found = figures(timezone.now() + timedelta(seconds=9))
    assert (found.endpoints, found.stopped, found.failing, found.waiting) == (2, 0, 1, 2)
    assert 8 < found.overdue_seconds < 60
