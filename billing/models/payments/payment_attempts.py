"""Each try to charge a card for an invoice."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from billing.models.invoicing.invoices import Invoice
from billing.models.payments.payment_methods import PaymentMethod
from billing.rules.payments.declines import DeclineKind


class PaymentAttemptQuerySet(models.QuerySet["PaymentAttempt"]):
    def live(self) -> PaymentAttemptQuerySet:
        """Those whose end is not known; an invoice has one at most."""
        return self.filter(state__in=LIVE)

    def unknown(self) -> PaymentAttemptQuerySet:
        """Those that the provider was asked for, and whose answer nobody has."""
        return self.filter(state__in=(PaymentAttempt.State.SENT, PaymentAttempt.State.UNKNOWN))


class PaymentAttempt(models.Model):
    """Written before the provider is called, by `billing.payments.cards` alone. Its id is the Idempotency-Key.

    The provider's object decides about `state`. Succeeded is final; a late success follows on every other state.
    """

    class State(models.TextChoices):
        CREATED = "created"
        SENT = "sent"
        UNKNOWN = "unknown"
        NEEDS_ACTION = "needs_action", "needs the customer"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELED = "canceled"

    class Cause(models.TextChoices):
        ISSUED = "issued", "the invoice was issued"
        RETRY = "retry", "dunning"
        METHOD = "method", "a new method was given"
        CUSTOMER = "customer", "by the customer"

    id = models.UUIDField(primary_key=True, editable=False)
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="payment_attempts", db_index=False
    )
    # attempt_numbered serves as the index of its first column.
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="attempts", db_index=False)
    method = models.ForeignKey(
        PaymentMethod,
        null=True,
        on_delete=models.SET_NULL,
        related_name="attempts",
        help_text="Empty: the customer gives a card on the provider's page, or it was erased.",
    )
    number = models.PositiveIntegerField(help_text="Of the invoice's attempts, from 1.")
    cause = models.CharField(max_length=10, choices=Cause)
    amount = models.DecimalField(max_digits=18, decimal_places=4)
    currency = models.CharField(max_length=3)
    provider = models.CharField(max_length=20)
    state = models.CharField(max_length=12, choices=State, default=State.CREATED)
    reference = models.CharField(max_length=200, null=True, unique=True, help_text="The provider's id of the charge.")
    page_reference = models.CharField(
        max_length=200, null=True, unique=True, help_text="The provider's id of the page on which the customer pays."
    )
    decline_code = models.CharField(max_length=60, blank=True, help_text="The provider's.")
    kind = models.CharField(max_length=10, blank=True, choices=[(str(each), str(each)) for each in DeclineKind])
    next_try_at = models.DateTimeField(
        null=True, help_text="When another attempt is made by itself. None follows where it is empty."
    )
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, help_text="When the provider was called, or asked, last.")
    ended_at = models.DateTimeField(null=True)
    objects = PaymentAttemptQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        indexes = [
            models.Index(fields=["account", "-created_at", "-id"], name="attempt_of_account"),
            models.Index(fields=["-created_at", "-id"], name="attempt_created"),
            models.Index(fields=["next_try_at"], name="attempt_next_try", condition=Q(next_try_at__isnull=False)),
            models.Index(
                fields=["state", "sent_at"],
                name="attempt_live",
                condition=Q(state__in=("created", "sent", "unknown", "needs_action")),
            ),
        ]
        constraints = [
            models.UniqueConstraint(name="attempt_numbered", fields=["invoice", "number"]),
            models.UniqueConstraint(
                name="attempt_one_live",
                fields=["invoice"],
                condition=Q(state__in=("created", "sent", "unknown", "needs_action")),
            ),
            models.CheckConstraint(name="attempt_positive", condition=Q(amount__gt=0)),
            models.CheckConstraint(
                name="attempt_next_try_after_failure",
                condition=Q(next_try_at__isnull=True) | Q(state__in=("failed", "canceled")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.invoice}, attempt {self.number}"

    @property
    def is_live(self) -> bool:
        return self.state in LIVE


LIVE = (
    PaymentAttempt.State.CREATED,
    PaymentAttempt.State.SENT,
    PaymentAttempt.State.UNKNOWN,
    PaymentAttempt.State.NEEDS_ACTION,
)
