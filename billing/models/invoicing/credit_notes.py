"""What was credited. Documents are immutable once issued."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from billing.rules.tax import UNTAXED, Treatment


class CreditNote(models.Model):
    """Takes `amount` off an invoice: off what is still due there first, the rest becomes balance."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="credit_notes")
    invoice = models.ForeignKey("billing.Invoice", on_delete=models.PROTECT, related_name="credit_notes")
    number = models.CharField(max_length=20, unique=True)
    amount = models.DecimalField(max_digits=18, decimal_places=4, help_text="With tax.")
    net = models.DecimalField(max_digits=18, decimal_places=4)
    tax = models.DecimalField(max_digits=18, decimal_places=4, default=0)
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=200)
    issued_at = models.DateTimeField()

    class Meta:
        ordering = ["-issued_at", "-pk"]
        indexes = [models.Index(fields=["-issued_at", "-id"], name="credit_note_issued")]
        constraints = [
            models.CheckConstraint(name="credit_note_positive", condition=Q(amount__gt=0)),
            models.CheckConstraint(name="credit_note_adds_up", condition=Q(amount=F("net") + F("tax"))),
        ]

    def __str__(self) -> str:
        return self.number

    def prices(self) -> Mapping[Treatment, Decimal]:
        """What it takes off each treatment, in the terms of the invoice's lines."""
        taxes = list(self.taxes.all())
        return {each.of.treatment: each.price for each in taxes} if taxes else {UNTAXED: self.amount}
