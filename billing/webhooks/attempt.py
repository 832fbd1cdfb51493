"""One try of one delivery: sent, and what came of it noted, unless the lease has run out and it is somebody else's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from standardwebhooks import Webhook

from billing.models import WebhookDelivery, WebhookEndpoint
from billing.models.webhooks.deliveries import MOST_TRIES_KEPT
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.webhooks import schedule
from billing.webhooks.http_post import Answer, post
from billing.webhooks.secrets import SecretLost, decrypted

GONE = 410
State = WebhookDelivery.State
Reason = WebhookEndpoint.Reason


def send(delivery: WebhookDelivery, now: datetime) -> Answer:
    """Send a claimed delivery once. Never within a transaction."""
    endpoint, message = delivery.endpoint, delivery.message
    try:
        signed = signatures(endpoint, message.pk, message.body, now)
    except SecretLost:
        return Answer(error="secret")
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message.pk,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signed,
    }
    return post(endpoint.url, message.body.encode(), headers)


def signatures(endpoint: WebhookEndpoint, message: str, body: str, now: datetime) -> str:
    """One for each secret that is in force, with a space between. Raises SecretLost."""
    kept = endpoint.secrets_at(now)
    return " ".join(Webhook(decrypted(secret)).sign(message, now, body) for secret in kept)


def note(delivery: WebhookDelivery, answer: Answer, now: datetime) -> bool:
    """What came of a try: taken, tried again later, or dead; and what its endpoint is after it.

    False where nothing is changed: the lease has run out and another sender has it, or the endpoint was deleted.
    """
    tries = [*delivery.tries, _as_try(answer, now)][-MOST_TRIES_KEPT:]
    said = {"status": answer.status, "error": answer.error, "answer": answer.text, "tries": tries, "tried_at": now}
    with transaction.atomic():
        endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).filter(pk=delivery.endpoint_id).first()
        if endpoint is None:
            return False  # it was deleted, with its deliveries
        if answer.is_taken:
            outcome: dict[str, Any] = {"state": State.DELIVERED, "next_try_at": None, "ended_at": now}
        else:
            retry_after = schedule.read_retry_after(answer.retry_after, now)
            again = schedule.next_try(delivery.attempts, now, retry_after)
            outcome = {"next_try_at": again} if again else {"state": State.DEAD, "next_try_at": None, "ended_at": now}
        if not _under_lease(delivery, said | outcome):
            return False
        _judge(endpoint, answer, outcome.get("state") == State.DEAD, now)
    return True


def _under_lease(delivery: WebhookDelivery, changes: dict[str, Any]) -> bool:
    held = WebhookDelivery.objects.filter(pk=delivery.pk, state=State.PENDING, next_try_at=delivery.next_try_at)
    return held.update(**changes) > 0


def _as_try(answer: Answer, now: datetime) -> dict[str, Any]:
    took = round(answer.seconds * 1000)
    return {"at": now.isoformat(), "status": answer.status, "error": answer.error, "milliseconds": took}


def _judge(endpoint: WebhookEndpoint, answer: Answer, is_dead: bool, now: datetime) -> None:
    """One that is gone, or has failed for days, is disabled, and its owner is told.

    It is given up with a delivery that has had all its tries: in the days before, perhaps nothing was tried.
    """
    if answer.is_taken:
        if endpoint.failing_since is not None:
            endpoint.failing_since = None
            endpoint.save(update_fields=["failing_since"])
        return
    if answer.status == GONE:
        disable(endpoint, Reason.GONE, now)
    elif is_dead and schedule.is_given_up(endpoint.failing_since, now):
        disable(endpoint, Reason.FAILING, now)
    elif endpoint.failing_since is None:
        endpoint.failing_since = now
        endpoint.save(update_fields=["failing_since"])


def disable(endpoint: WebhookEndpoint, reason: str, now: datetime) -> None:
    """Send nothing more to it. What waits is dead, to be sent again. The caller holds the row."""
    if not endpoint.is_enabled:
        return
    endpoint.state, endpoint.disabled_reason, endpoint.disabled_at = WebhookEndpoint.State.DISABLED, reason, now
    endpoint.save(update_fields=["state", "disabled_reason", "disabled_at"])
    waiting = WebhookDelivery.objects.filter(endpoint=endpoint, state=State.PENDING)
    waiting.update(state=State.DEAD, next_try_at=None, ended_at=now)
    if reason == Reason.OWNER:
        return
    if endpoint.account_id is not None:
        record(Happened.WEBHOOK_DISABLED, endpoint.account_id, endpoint=endpoint.pk, reason=reason)
    else:
        assert endpoint.made_by_id is not None
        record(Happened.OPERATORS_WEBHOOK_DISABLED, endpoint.made_by_id, endpoint=endpoint.pk, reason=reason)
