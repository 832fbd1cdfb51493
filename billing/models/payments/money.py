"""Money that came in, was taken back, or was paid out. What came and what was taken back is immutable."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from billing.models.invoicing.invoices import Invoice

MANUAL: Final = "manual"
"""The source of what staff note, and the provider of what they pay out by themselves."""

LONGEST_BY_HAND: Final = 200
"""Characters of a reference or a reason that staff write."""


class MoneyIn(models.Model):
    """Money that has arrived, once each. Written by `billing.payments.receive` alone.

    `amount` is the sum of its payments without the negative ones, and of `to_balance`.
    """

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="money_in")
    invoice = models.ForeignKey(
        Invoice,
        null=True,
        on_delete=models.PROTECT,
        related_name="money_sent",
        db_index=False,
        help_text="The one that it was sent for; where it went, its payments say.",
    )
    currency = models.CharField(max_length=3)
    amount = models.DecimalField(max_digits=18, decimal_places=4)
    to_balance = models.DecimalField(
        max_digits=18, decimal_places=4, default=0, help_text="What nothing was due for: it became balance."
    )
    source = models.CharField(max_length=50, help_text="Who knows of it: manual, a card provider, a chain.")
    reference = models.CharField(max_length=230, help_text="The source's name of it: the same one is the same money.")
    received_at = models.DateTimeField()
    recorded_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-received_at", "-pk"]
        verbose_name = verbose_name_plural = "money in"
        indexes = [
            models.Index(fields=["-received_at", "-id"], name="money_in_received"),
            models.Index(fields=["reference"], name="money_in_reference"),
            models.Index(fields=["account", "currency"], name="money_in_on_balance", condition=Q(to_balance__gt=0)),
        ]
        constraints = [
            models.UniqueConstraint(name="money_in_once", fields=["source", "reference"]),
            models.CheckConstraint(name="money_in_positive", condition=Q(amount__gt=0)),
            models.CheckConstraint(
                name="money_in_to_balance_within",
                condition=Q(to_balance__gte=0, to_balance__lte=models.F("amount")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.reference}"


class Reversal(models.Model):
    """Takes money back that had come in: a chargeback, a transfer that was undone, a payment noted by mistake.

    Written by `billing.payments.reversals` alone. `amount` is what its negative payments and `from_balance` come to.
    """

    money_in = models.ForeignKey(MoneyIn, on_delete=models.PROTECT, related_name="reversals", db_index=False)
    amount = models.DecimalField(max_digits=18, decimal_places=4)
    from_balance = models.DecimalField(max_digits=18, decimal_places=4, default=0)
    reason = models.CharField(max_length=200)
    reference = models.CharField(max_length=230, help_text="Such as the id of the dispute: one reversal each.")
    reversed_at = models.DateTimeField()

    class Meta:
        ordering = ["-reversed_at", "-pk"]
        indexes = [models.Index(fields=["-reversed_at", "-id"], name="reversal_reversed")]
        constraints = [
            models.UniqueConstraint(name="reversal_once", fields=["money_in", "reference"]),
            models.CheckConstraint(name="reversal_positive", condition=Q(amount__gt=0)),
            models.CheckConstraint(
                name="reversal_from_balance_within",
                condition=Q(from_balance__gte=0, from_balance__lte=models.F("amount")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.money_in} taken back ({self.reference})"


class RefundQuerySet(models.QuerySet["Refund"]):
    def paid_or_under_way(self) -> RefundQuerySet:
        """Those that lower the balance: all but what has failed."""
        return self.exclude(state=Refund.State.FAILED)


class Refund(models.Model):
    """Balance that is paid out to the customer. Written by `billing.payments.refunds` alone.

    The balance is lowered when it is requested, and raised again where it fails.
    """

    class State(models.TextChoices):
        REQUESTED = "requested"
        SENT = "sent", "sent to the provider"
        UNKNOWN = "unknown", "unknown: the provider's answer was lost"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="refunds")
    money_in = models.ForeignKey(
        MoneyIn,
        null=True,
        on_delete=models.PROTECT,
        related_name="refunds",
        help_text="What is paid back, where it goes back the way it came.",
    )
    currency = models.CharField(max_length=3)
    amount = models.DecimalField(max_digits=18, decimal_places=4)
    provider = models.CharField(max_length=50, help_text="Who pays it out: manual, a card provider, a chain.")
    reference = models.CharField(max_length=230, blank=True, help_text="The provider's id, once it is known.")
    state = models.CharField(max_length=10, choices=State, default=State.REQUESTED)
    reason = models.CharField(max_length=200)
    requested_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    objects = RefundQuerySet.as_manager()

    class Meta:
        ordering = ["-requested_at", "-pk"]
        indexes = [
            models.Index(fields=["-requested_at", "-id"], name="refund_requested"),
            models.Index(
                fields=["state", "changed_at"],
                name="refund_unfinished",
                condition=~Q(state__in=["succeeded", "failed"]),
            ),
        ]
        constraints = [
            models.UniqueConstraint(name="refund_once", fields=["provider", "reference"], condition=~Q(reference="")),
            models.CheckConstraint(name="refund_positive", condition=Q(amount__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency} to {self.account}"
