"""What was billed, credited and paid. Documents are immutable once issued; every cent has a line."""

from __future__ import annotations

from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import F, Q, Sum
from django.utils import timezone

from billing.models.billing_periods import BillingPeriod
from billing.models.subscriptions import Subscription

NOTHING = Decimal(0)


class InvoiceQuerySet(models.QuerySet["Invoice"]):
    def issued(self) -> InvoiceQuerySet:
        """Those that a customer was sent: all but drafts."""
        return self.exclude(status=Invoice.Status.DRAFT)

    def billed(self) -> InvoiceQuerySet:
        """Those that count: neither drafts nor void."""
        return self.filter(status__in=BILLED)

    def due(self) -> InvoiceQuerySet:
        """Those on which something is to be paid, the oldest first."""
        return self.filter(status=Invoice.Status.OPEN).order_by("issued_at", "pk")


class Invoice(models.Model):
    """Written by `billing.invoicing` alone. `total` is the sum of the lines; what is below zero became balance."""

    class Status(models.TextChoices):
        DRAFT = "draft"
        OPEN = "open"
        PAID = "paid"
        VOID = "void"

    # invoice_of_account, line_once and period_once serve as the indices of their first columns.
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="invoices", db_index=False
    )
    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="invoices")
    number = models.CharField(max_length=20, null=True, help_text="Gapless; none while it is a draft.")
    status = models.CharField(max_length=10, choices=Status, default=Status.DRAFT)
    currency = models.CharField(max_length=3)
    total = models.DecimalField(max_digits=18, decimal_places=4)
    settled = models.DecimalField(
        max_digits=18, decimal_places=4, default=0, help_text="What payments and credit notes have taken off."
    )
    created_at = models.DateTimeField(default=timezone.now)
    issued_at = models.DateTimeField(null=True)
    voided_at = models.DateTimeField(null=True, blank=True)
    objects = InvoiceQuerySet.as_manager()

    class Meta:
        ordering = ["-issued_at", "-pk"]
        indexes = [models.Index(fields=["account", "-issued_at", "-id"], name="invoice_of_account")]
        constraints = [
            models.UniqueConstraint(name="invoice_number_once", fields=["number"]),
            models.CheckConstraint(
                name="invoice_numbered_when_issued",
                condition=Q(status="draft", number__isnull=True, issued_at__isnull=True)
                | Q(~Q(status="draft"), number__isnull=False, issued_at__isnull=False),
            ),
            models.CheckConstraint(name="invoice_settled_not_negative", condition=Q(settled__gte=0)),
            models.CheckConstraint(
                name="invoice_settled_within_total", condition=Q(settled=0) | Q(settled__lte=F("total"))
            ),
            models.CheckConstraint(
                name="invoice_paid_when_settled", condition=~Q(status="paid") | Q(settled__gte=F("total"))
            ),
            models.CheckConstraint(
                name="invoice_open_while_due", condition=~Q(status="open") | Q(settled__lt=F("total"))
            ),
            models.CheckConstraint(
                name="invoice_void_when_voided",
                condition=Q(status="void", settled=0, voided_at__isnull=False)
                | Q(~Q(status="void"), voided_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return self.number or "draft"

    @property
    def is_billed(self) -> bool:
        """Whether it counts: it is neither a draft nor void."""
        return self.status in BILLED

    @property
    def due(self) -> Decimal:
        """What is still to be paid, in its currency; 0 of an invoice with a negative total, and of a void one."""
        return NOTHING if self.status == Invoice.Status.VOID else max(self.total - self.settled, NOTHING)

    def creditable(self) -> Decimal:
        """The most that a credit note may be over now, in the invoice's currency.

        It is what was billed on the invoice less its credit notes, and no more than is left of what was billed for its
        periods after all credits of changes of plan. 0 of an invoice that does not count.
        """
        if not self.is_billed:
            return NOTHING
        charged = self.lines.filter(amount__gt=0)
        is_overage = charged.filter(kind=InvoiceLine.Kind.OVERAGE).exists()  # and then nothing else is
        billed_for = InvoiceLine.objects.overage_of_period if is_overage else InvoiceLine.objects.of_period
        periods = BillingPeriod.objects.filter(pk__in=charged.values("billing_period"))
        left = sum((billed_for(period).net() for period in periods), NOTHING)
        return min(self.lines.net(), left + charged.filter(billing_period=None).billed())


BILLED = (Invoice.Status.OPEN, Invoice.Status.PAID)


class InvoiceLineQuerySet(models.QuerySet["InvoiceLine"]):
    def of_period(self, period: BillingPeriod) -> InvoiceLineQuerySet:
        """What was invoiced for a billing period or for a part of it, by invoices that are not void.

        Without its overage, which no credit for unused time gives back.
        """
        # By way of the subscription's invoices, which are few and have an index.
        rows = self.filter(invoice__subscription=period.subscription_id, billing_period=period)
        return rows.exclude(invoice__status=Invoice.Status.VOID).exclude(kind=InvoiceLine.Kind.OVERAGE)

    def overage_of_period(self, period: BillingPeriod) -> InvoiceLineQuerySet:
        """What was invoiced for tokens above the quota of windows that ended in a billing period, and taken back."""
        # What comes late is billed with the account's next subscription, where this one has ended.
        rows = self.filter(invoice__account=period.subscription.account_id, billing_period=period)
        return rows.filter(kind=InvoiceLine.Kind.OVERAGE).exclude(invoice__status=Invoice.Status.VOID)

    def billed(self) -> Decimal:
        """Their sum, but for the balance that was used: that was the customer's own."""
        return Decimal(self.exclude(kind=InvoiceLine.Kind.BALANCE).aggregate(sum=Sum("amount"))["sum"] or 0)

    def net(self) -> Decimal:
        """What was billed, less the credit notes on the invoices that charged it; never below 0."""
        charged = self.filter(amount__gt=0).order_by().values("invoice")
        noted = CreditNote.objects.filter(invoice__in=charged).aggregate(sum=Sum("amount"))
        return max(self.billed() - (noted["sum"] or 0), NOTHING)


class InvoiceLine(models.Model):
    class Kind(models.TextChoices):
        BASE = "base", "base price of a period, in advance"
        CREDIT = "credit", "credit for unused time"
        CHARGE = "charge", "charge for remaining time"
        DISCOUNT = "discount", "discount of a coupon"
        PACK = "pack", "tokens on top of the quota"
        OVERAGE = "overage", "tokens above the quota, in arrears"
        BALANCE = "balance", "balance used"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines", db_index=False)
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind)
    description = models.CharField(max_length=200)
    amount = models.DecimalField(max_digits=18, decimal_places=4)
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    billing_period = models.ForeignKey(
        BillingPeriod, null=True, on_delete=models.PROTECT, related_name="lines", db_index=False
    )
    objects = InvoiceLineQuerySet.as_manager()

    class Meta:
        ordering = ["invoice", "position"]
        constraints = [models.UniqueConstraint(name="line_once", fields=["invoice", "position"])]

    def __str__(self) -> str:
        return f"{self.description}: {self.amount}"


class CreditNote(models.Model):
    """Takes `amount` off an invoice: off what is still due there first, the rest becomes balance."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="credit_notes")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="credit_notes")
    number = models.CharField(max_length=20, unique=True)
    amount = models.DecimalField(max_digits=18, decimal_places=4)
    currency = models.CharField(max_length=3)
    reason = models.CharField(max_length=200)
    issued_at = models.DateTimeField()

    class Meta:
        ordering = ["-issued_at", "-pk"]
        constraints = [models.CheckConstraint(name="credit_note_positive", condition=Q(amount__gt=0))]

    def __str__(self) -> str:
        return self.number


class Payment(models.Model):
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="payments")
    amount = models.DecimalField(max_digits=18, decimal_places=4)
    paid_at = models.DateTimeField()
    reference = models.CharField(max_length=200, help_text="Such as the bank's or the card processor's id.")

    class Meta:
        ordering = ["paid_at"]
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

    def __str__(self) -> str:
        return f"{self.amount} {self.currency}"


class DocumentNumber(models.Model):
    """The last number given out in each series. Its row is locked last in a transaction, or every lock waits for it."""

    series = models.CharField(max_length=10, primary_key=True)
    last = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.series} {self.last}"
