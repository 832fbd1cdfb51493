"""Addresses that are told of what happens: a customer's own, and the operator's."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

LONGEST_URL = 500


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def listening(self, account: int) -> WebhookEndpointQuerySet:
        """Those that are told of the account now: its own, while it is active, and the operator's."""
        own = Q(account=account, account__is_active=True)
        return self.filter(own | Q(account=None), state=WebhookEndpoint.State.ENABLED)

    def stopped(self) -> WebhookEndpointQuerySet:
        """Those that were disabled because of their answers, not by their owner."""
        return self.filter(state=WebhookEndpoint.State.DISABLED).exclude(
            disabled_reason=WebhookEndpoint.Reason.OWNER.value
        )


class WebhookEndpoint(models.Model):
    """Written by `billing.webhooks` alone. The secrets are encrypted: see `billing.webhooks.secrets`."""

    class State(models.TextChoices):
        ENABLED = "enabled", _("enabled")
        DISABLED = "disabled", _("disabled")

    class Reason(models.TextChoices):
        OWNER = "owner", _("switched off")
        GONE = "gone", _("it answered 410 Gone")
        FAILING = "failing", _("every try failed for five days")

    # endpoint_listening serves as the index of the account.
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="webhook_endpoints",
        db_index=False,
        help_text="Empty: the operator's, which is told of all accounts.",
    )
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Of the operator's: the member of staff.",
    )
    url = models.CharField("URL", max_length=LONGEST_URL)
    types = models.JSONField(default=list, blank=True, help_text="Types of messages it gets. Empty: all of them.")
    secret = models.TextField(editable=False)
    previous_secret = models.TextField(blank=True, editable=False)
    previous_until = models.DateTimeField(null=True, editable=False, help_text="So long both secrets sign.")
    state = models.CharField(max_length=10, choices=State, default=State.ENABLED)
    disabled_reason = models.CharField(max_length=10, choices=Reason, blank=True)
    disabled_at = models.DateTimeField(null=True)
    failing_since = models.DateTimeField(null=True, help_text="Since then no try has succeeded.")
    created_at = models.DateTimeField()
    objects = WebhookEndpointQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["account", "state"], name="endpoint_listening")]
        constraints = [
            models.CheckConstraint(
                name="endpoint_of_somebody",
                condition=Q(account__isnull=False, made_by__isnull=True)
                | Q(account__isnull=True, made_by__isnull=False),
            ),
            models.CheckConstraint(
                name="endpoint_disabled_whole",
                condition=Q(state="enabled", disabled_reason="", disabled_at__isnull=True)
                | (Q(state="disabled", disabled_at__isnull=False) & ~Q(disabled_reason="")),
            ),
        ]

    def __str__(self) -> str:
        return self.url

    @property
    def is_enabled(self) -> bool:
        return self.state == WebhookEndpoint.State.ENABLED

    def takes(self, type_: str) -> bool:
        """Whether it wants messages of a type."""
        return not self.types or type_ in self.types

    def secrets_at(self, now: datetime) -> list[str]:
        """The encrypted secrets that sign now, the present one first."""
        overlaps = self.previous_until is not None and now < self.previous_until
        return [self.secret, self.previous_secret] if overlaps else [self.secret]
