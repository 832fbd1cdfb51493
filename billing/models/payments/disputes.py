"""Payments that a customer disputes with the bank."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from billing.models.invoicing.invoices import Invoice
from billing.models.payments.money import MoneyIn


class Dispute(models.Model):
    """Written by `billing.payments.cards.disputes` alone. Lost, its money is reversed, under the same reference."""

    class State(models.TextChoices):
        OPEN = "open"
        WON = "won"
        LOST = "lost"

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="disputes")
    invoice = models.ForeignKey(
        Invoice, null=True, on_delete=models.PROTECT, related_name="disputes", help_text="What the money was sent for."
    )
    money_in = models.ForeignKey(MoneyIn, on_delete=models.PROTECT, related_name="disputes")
    provider = models.CharField(max_length=20)
    reference = models.CharField(max_length=100, help_text="The provider's id of it.")
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    amount = models.DecimalField(max_digits=18, decimal_places=4)
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=60, blank=True, help_text="The bank's code.")
    fee = models.DecimalField(
        max_digits=18,
        decimal_places=4,
        default=0,
        help_text="What the provider keeps for it; no customer is billed it.",
    )
    fee_currency = models.CharField(max_length=3, blank=True)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-opened_at", "-pk"]
        default_permissions = ("view",)
        indexes = [models.Index(fields=["-opened_at", "-id"], name="dispute_opened")]
        constraints = [models.UniqueConstraint(name="dispute_once", fields=["provider", "reference"])]

    def __str__(self) -> str:
        return self.reference
