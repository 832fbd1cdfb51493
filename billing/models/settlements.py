"""What was paid, what is owed to customers, and the numbers of documents. Payments and movements are immutable."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from billing.models.invoices import CreditNote, Invoice


class Payment(models.Model):
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="payments")
    amount = models.DecimalField(max_digits=18, decimal_places=4)
    paid_at = models.DateTimeField()
    reference = models.CharField(max_length=200, help_text="Such as the bank's or the card processor's id.")

    class Meta:
        ordering = ["paid_at"]
        indexes = [
            models.Index(fields=["-paid_at", "-id"], name="payment_paid"),
            models.Index(fields=["reference"], name="payment_reference"),
        ]
        constraints = [
            models.CheckConstraint(name="payment_positive", condition=Q(amount__gt=0)),
            models.UniqueConstraint(name="payment_once", fields=["invoice", "reference"]),
        ]

    def __str__(self) -> str:
        return f"{self.amount} for {self.invoice}"


class BalanceEntry(models.Model):
    """A movement of what is owed to the customer; their sum, by currency, is the balance."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="balance_entries")
    amount = models.DecimalField(
        max_digits=18, decimal_places=4, help_text="Above zero: owed to the customer. Below: used by an invoice."
    )
    currency = models.CharField(max_length=3)
    invoice = models.ForeignKey(Invoice, null=True, on_delete=models.PROTECT, related_name="balance_entries")
    credit_note = models.ForeignKey(CreditNote, null=True, on_delete=models.PROTECT, related_name="balance_entries")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["created_at", "pk"]
        verbose_name_plural = "balance entries"
        indexes = [models.Index(fields=["-created_at", "-id"], name="balance_entry_created")]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


class DocumentNumber(models.Model):
    """The last number given out in each series. Its row is locked last in a transaction, or every lock waits for it."""

    series = models.CharField(max_length=10, primary_key=True)
    last = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.series} {self.last}"
