"""Cards that a provider keeps for customers, and what the provider told. No number of a card is ever here."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q

from billing.fence.fenced import FencedModel


class ProviderCustomer(models.Model):
    """An account as a provider knows it."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="provider_customers")
    provider = models.CharField(max_length=20)
    reference = models.CharField(max_length=255)
    is_live = models.BooleanField(help_text="Of the provider's live mode, not of its test mode.")
    created_at = models.DateTimeField()
    forget_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="The account was erased, and the provider is to be told; or it has forgotten by itself.",
    )
    forgotten_at = models.DateTimeField(null=True, blank=True, help_text="When the provider confirmed it.")

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(name="provider_customer_once", fields=["reference", "provider"]),
            models.UniqueConstraint(
                name="provider_customer_of_account",
                fields=["account", "provider", "is_live"],
                condition=Q(forget_at=None),
            ),
        ]

    def __str__(self) -> str:
        return self.reference


class PaymentMethod(FencedModel):
    """A saved card. A trial may go on only with one, so saving or removing one raises the account's fence."""

    class State(models.TextChoices):
        USABLE = "usable"
        NEEDS_ACTION = "needs_action"
        """Its bank wants its owner to confirm a payment; charged while he is away it is declined."""
        DETACHED = "detached"

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="payment_methods")
    provider = models.CharField(max_length=20)
    reference = models.CharField(max_length=255)
    is_live = models.BooleanField(help_text="Of the provider's live mode, not of its test mode.")
    brand = models.CharField(max_length=20)
    last4 = models.CharField(max_length=4)
    exp_month = models.PositiveSmallIntegerField()
    exp_year = models.PositiveSmallIntegerField()
    fingerprint = models.CharField(max_length=50, blank=True, help_text="The same for the same number of a card.")
    is_default = models.BooleanField(default=False, help_text="Charged when an invoice is issued.")
    state = models.CharField(max_length=20, choices=State, default=State.USABLE)
    created_at = models.DateTimeField()
    detached_at = models.DateTimeField(null=True, blank=True)
    provider_told_at = models.DateTimeField(
        null=True, blank=True, help_text="When the provider confirmed that it forgot the card."
    )

    class Meta:
        ordering = ["-is_default", "-created_at", "-pk"]
        default_permissions = ("view", "delete")
        constraints = [
            models.UniqueConstraint(name="payment_method_once", fields=["reference", "provider"]),
            models.UniqueConstraint(
                name="payment_method_default", fields=["account", "is_live"], condition=Q(is_default=True)
            ),
            models.CheckConstraint(
                name="payment_method_detached",
                condition=Q(state="detached", detached_at__isnull=False, is_default=False)
                | Q(~Q(state="detached"), detached_at=None),
            ),
            models.CheckConstraint(name="payment_method_month", condition=Q(exp_month__range=(1, 12))),
        ]

    def __str__(self) -> str:
        return f"{self.brand.replace('_', ' ').title()} •••• {self.last4}"

    def fence_subject(self) -> int:
        return self.account_id

    def has_expired(self, now: datetime) -> bool:
        """A card can be charged to the end of the month that stands on it; in UTC."""
        return (now.year, now.month) > (self.exp_year, self.exp_month)


class ProviderEvent(models.Model):
    """Something that a provider told, once however often it was told. See `billing.payments.cards.events`."""

    class State(models.TextChoices):
        RECEIVED = "received"
        DONE = "done"
        FAILED = "failed"
        """It was given up; staff see why and can have it processed again."""

    provider = models.CharField(max_length=20)
    reference = models.CharField(max_length=255)
    type = models.CharField(max_length=100)
    object_type = models.CharField(max_length=100)
    object_reference = models.CharField(max_length=255)
    is_live = models.BooleanField(help_text="Of the provider's live mode, not of its test mode.")
    created_at = models.DateTimeField(help_text="When it happened, as the provider says.")
    received_at = models.DateTimeField()
    payload = models.JSONField(default=dict, help_text="As it was told; forgotten once it is processed.")
    state = models.CharField(max_length=10, choices=State, default=State.RECEIVED)
    tries = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True)
    processed_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view", "change")
        constraints = [models.UniqueConstraint(name="provider_event_once", fields=["reference", "provider"])]
        indexes = [
            models.Index(fields=["received_at"], name="provider_event_open", condition=Q(state="received")),
            models.Index(fields=["-id"], name="provider_event_failed", condition=Q(state="failed")),
            models.Index(fields=["object_reference"], name="provider_event_object"),
        ]

    def __str__(self) -> str:
        return f"{self.type} ({self.reference})"


class ProviderPoll(models.Model):
    """Up to when a provider was asked for what it had to tell."""

    provider = models.CharField(max_length=20)
    is_live = models.BooleanField()
    polled_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(name="provider_poll_once", fields=["provider", "is_live"])]

    def __str__(self) -> str:
        return self.provider
