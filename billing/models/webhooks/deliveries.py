"""What is told, once for all who hear it; and one delivery to each of them, with its tries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q

from billing.models.webhooks.endpoints import WebhookEndpoint

LEASE: Final = timedelta(seconds=60)
"""How long one try may take, with the look-up of the name. Whoever is killed in it is followed after that."""
MOST_TRIES_KEPT: Final = 20
LONGEST_ANSWER: Final = 4096


class WebhookMessage(models.Model):
    """What is told about one thing that happened. Its body is sent as it is here, at each try and when sent again."""

    id = models.CharField(primary_key=True, max_length=40)
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.CASCADE,
        db_constraint=False,
        related_name="+",
        help_text="None of a ping to the operator's endpoint.",
    )
    outbox_id = models.BigIntegerField(null=True, help_text="Of the message that it tells. None of a ping.")
    type = models.CharField(max_length=50)
    version = models.BigIntegerField(help_text="Grows with each message about the same thing.")
    body = models.TextField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at"]
        default_permissions = ()
        indexes = [models.Index(fields=["created_at"], name="webhook_message_created")]
        constraints = [models.UniqueConstraint(name="webhook_message_once", fields=["outbox_id", "type"])]

    def __str__(self) -> str:
        return f"{self.type} ({self.pk})"


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def to_be_sent(self) -> WebhookDeliveryQuerySet:
        """Those that are tried: of endpoints that are enabled, and whose customer is not deactivated."""
        endpoints = WebhookEndpoint.objects.filter(pk=OuterRef("endpoint"), state=WebhookEndpoint.State.ENABLED)
        served = endpoints.filter(Q(account__isnull=True) | Q(account__is_active=True))
        return self.filter(Exists(served), state=WebhookDelivery.State.PENDING)

    def due(self, now: datetime) -> WebhookDeliveryQuerySet:
        """Those that may be claimed, the one that waits longest first."""
        return self.to_be_sent().filter(next_try_at__lte=now).order_by("next_try_at")

    def dead(self) -> WebhookDeliveryQuerySet:
        return self.filter(state=WebhookDelivery.State.DEAD)

    def claim(self, now: datetime) -> WebhookDelivery | None:
        """Lease the next one of these to the caller. Raises RuntimeError within a transaction."""
        with transaction.atomic(durable=True):
            found = self.due(now).select_for_update(skip_locked=True, of=("self",)).first()
            if found is None:
                return None
            found.attempts += 1
            found.next_try_at = now + LEASE
            found.save(update_fields=["attempts", "next_try_at"])
        rows = WebhookDelivery.objects.select_related("endpoint", "message")
        return rows.filter(pk=found.pk).first()


class WebhookDelivery(models.Model):
    """One message to one endpoint. `next_try_at` is moved ahead while somebody is at it, and tells lease from lease."""

    class State(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        DEAD = "dead"

    # delivery_once serves as the index of the message.
    message = models.ForeignKey(WebhookMessage, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    endpoint = models.ForeignKey(WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    attempts = models.PositiveIntegerField(default=0, help_text="Tries since it was made, or sent again.")
    next_try_at = models.DateTimeField(
        null=True, help_text="Not tried before; while somebody is at it, the end of the lease."
    )
    status = models.PositiveIntegerField(null=True, help_text="Of the last answer.")
    error = models.CharField(max_length=20, blank=True, help_text="Why the last try failed without an answer.")
    answer = models.TextField(blank=True, help_text="How the last answer began.")
    tries = models.JSONField(default=list, help_text="The last ones: when, what came of it, and how long it took.")
    tried_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "webhook deliveries"
        default_permissions = ("view", "change")
        indexes = [
            models.Index(fields=["next_try_at", "endpoint"], name="delivery_due", condition=Q(state="pending")),
            models.Index(fields=["endpoint", "-id"], name="delivery_of_endpoint"),
            models.Index(fields=["endpoint", "-id"], name="delivery_dead", condition=Q(state="dead")),
        ]
        constraints = [
            models.UniqueConstraint(name="delivery_once", fields=["message", "endpoint"]),
            models.CheckConstraint(
                name="delivery_ends_or_goes_on",
                condition=Q(state="pending", next_try_at__isnull=False, ended_at__isnull=True)
                | Q(~Q(state="pending"), next_try_at__isnull=True, ended_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.message_id} to {self.endpoint}"

    @property
    def is_pending(self) -> bool:
        return self.state == WebhookDelivery.State.PENDING
