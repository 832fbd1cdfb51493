"""What was paid, what is owed to customers, and the numbers of documents. Payments and movements are immutable."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from billing.models.invoicing.credit_notes import CreditNote
from billing.models.invoicing.invoices import Invoice
from billing.models.payments.money import MoneyIn, Refund, Reversal


class Payment(models.Model):
    """An allocation: what an invoice got of a `MoneyIn`; below zero, what a reversal took back of it."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="payments")
    money_in = models.ForeignKey(MoneyIn, on_delete=models.PROTECT, related_name="payments")
    reversal = models.ForeignKey(Reversal, null=True, on_delete=models.PROTECT, related_name="payments", db_index=False)
    amount = models.DecimalField(max_digits=18, decimal_places=4)
    paid_at = models.DateTimeField(help_text="When the money was received, or taken back.")
    reference = models.CharField(max_length=230, help_text="Such as the bank's or the card processor's id.")

    class Meta:
        ordering = ["paid_at"]
        indexes = [
            models.Index(fields=["-paid_at", "-id"], name="payment_paid"),
            models.Index(fields=["reference"], name="payment_reference"),
        ]
        constraints = [
            models.CheckConstraint(
                name="payment_positive",
                condition=Q(amount__gt=0, reversal__isnull=True) | Q(amount__lt=0, reversal__isnull=False),
            ),
            models.UniqueConstraint(
                name="payment_once", fields=["money_in", "invoice"], condition=Q(reversal__isnull=True)
            ),
            models.UniqueConstraint(
                name="payment_reversed_once", fields=["reversal", "invoice"], condition=Q(reversal__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} for {self.invoice}"


class Movement(models.TextChoices):
    """What a balance entry is."""

    PAYMENT = "payment", "money that nothing was due for"
    REVERSAL = "reversal", "such money taken back"
    REFUND = "refund", "paid out"
    REFUND_FAILED = "refund_failed", "not paid out after all"
    CREDIT_NOTE = "credit_note", "credited by a credit note"
    CREDIT = "credit", "credited by an invoice"
    USED = "used", "used by an invoice"
    BILLED = "billed", "owed before, and billed by an invoice"


class BalanceEntryQuerySet(models.QuerySet["BalanceEntry"]):
    def with_reasons(self) -> BalanceEntryQuerySet:
        """With the rows that `kind` and `reference` are read from."""
        return self.select_related("invoice", "credit_note", "money_in", "reversal", "refund")


class BalanceEntry(models.Model):
    """A movement of what is owed to the customer; their sum, by currency, is the balance.

    Below 0 it is owed by the customer: money was taken back after it was used.
    """

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="balance_entries")
    amount = models.DecimalField(
        max_digits=18,
        decimal_places=4,
        help_text="Above zero: owed to the customer. Below: used by an invoice, taken back or paid out.",
    )
    currency = models.CharField(max_length=3)
    invoice = models.ForeignKey(Invoice, null=True, on_delete=models.PROTECT, related_name="balance_entries")
    credit_note = models.ForeignKey(CreditNote, null=True, on_delete=models.PROTECT, related_name="balance_entries")
    # Without indexes, as renewals write these rows by the thousand, and nobody looks for them from the other side.
    money_in = models.ForeignKey(
        MoneyIn, null=True, on_delete=models.PROTECT, related_name="balance_entries", db_index=False
    )
    reversal = models.ForeignKey(
        Reversal, null=True, on_delete=models.PROTECT, related_name="balance_entries", db_index=False
    )
    refund = models.ForeignKey(
        Refund, null=True, on_delete=models.PROTECT, related_name="balance_entries", db_index=False
    )
    created_at = models.DateTimeField()
    objects = BalanceEntryQuerySet.as_manager()

    class Meta:
        ordering = ["created_at", "pk"]
        verbose_name_plural = "balance entries"
        indexes = [models.Index(fields=["-created_at", "-id"], name="balance_entry_created")]

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"

    @property
    def kind(self) -> Movement:
        if self.money_in_id or self.reversal_id:
            return Movement.PAYMENT if self.money_in_id else Movement.REVERSAL
        if self.refund_id:
            return Movement.REFUND if self.amount < 0 else Movement.REFUND_FAILED
        if self.credit_note_id or self.invoice is None:
            return Movement.CREDIT_NOTE
        if self.amount < 0:
            return Movement.USED
        return Movement.CREDIT if self.invoice.total < 0 else Movement.BILLED

    @property
    def reference(self) -> str:
        """Of the money that came, was taken back or was paid out; "" of the others, and where it is not known yet."""
        of = self.money_in or self.reversal or self.refund
        return of.reference if of else ""


class DocumentNumber(models.Model):
    """The last number given out in each series. Its row is locked last in a transaction, or every lock waits for it."""

    series = models.CharField(max_length=10, primary_key=True)
    last = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.series} {self.last}"
