"""What was billed. Documents are immutable once issued; every cent has a line."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.db import models
from django.db.models import F, Q, Sum
from django.utils import timezone

from billing.models.invoicing.credit_notes import CreditNote
from billing.models.invoicing.taxes import InvoiceTax
from billing.models.subscriptions.billing_periods import BillingPeriod
from billing.models.subscriptions.subscription import Subscription
from billing.rules.tax import UNTAXED, Treatment, gross

NOTHING = Decimal(0)


def is_overdue(now: datetime) -> Q:
    """Of an open invoice: its day of payment has passed. Whether its account is past due, and paused, is another rule
    (`billing.rules.payments.past_due`)."""
    return Q(due_at__lt=now)


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
    """Written by `billing.invoicing` alone. `total` is the sum of the lines; what is below zero became balance.

    `net` and `tax` are what was billed, before a balance was used. Seller and buyer are as they were at the issue, and
    missing where there was no seller.
    """

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
    net = models.DecimalField(max_digits=18, decimal_places=4, default=0, help_text="What was billed, without tax.")
    tax = models.DecimalField(max_digits=18, decimal_places=4, default=0)
    settled = models.DecimalField(
        max_digits=18, decimal_places=4, default=0, help_text="What payments and credit notes have taken off."
    )
    seller = models.JSONField(null=True, help_text="As at the issue.")
    buyer = models.JSONField(null=True, help_text="As at the issue.")
    reverse_charge = models.BooleanField(default=False, help_text="The buyer owes the tax of a line.")
    created_at = models.DateTimeField(default=timezone.now)
    issued_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True, help_text="Until when it is to be paid.")
    voided_at = models.DateTimeField(null=True, blank=True)
    objects = InvoiceQuerySet.as_manager()

    class Meta:
        ordering = ["-issued_at", "-pk"]
        indexes = [
            models.Index(fields=["account", "-issued_at", "-id"], name="invoice_of_account"),
            models.Index(fields=["-issued_at", "-id"], name="invoice_issued"),
            # What is due is summed from it alone.
            models.Index(
                fields=["status", "-issued_at", "-id"],
                include=["currency", "total", "settled", "due_at"],
                name="invoice_unpaid",
                condition=~Q(status="paid"),
            ),
        ]
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

    @property
    def gross(self) -> Decimal:
        """What was billed, with its tax, before a balance was used."""
        return self.net + self.tax

    def creditable(self) -> Decimal:
        """The most that a credit note may be over now, in the invoice's currency, with tax.

        It is what was billed on the invoice less its credit notes, and no more than is left of what was billed for its
        periods after all credits of changes of plan. 0 of an invoice that does not count.
        """
        if not self.is_billed:
            return NOTHING
        own = self.gross - (self.credit_notes.aggregate(sum=Sum("amount"))["sum"] or 0)
        lines = self.lines.filter(amount__gt=0).exclude(kind__in=NOT_SOLD)
        charged = list(lines.select_related("taxed_by", "billing_period__subscription").order_by("-pk"))
        is_overage = any(line.kind == InvoiceLine.Kind.OVERAGE for line in charged)  # and then all are
        billed_for = InvoiceLine.objects.overage_of_period if is_overage else InvoiceLine.objects.of_period
        left = _added((line.treatment, line.amount) for line in charged if line.billing_period is None)
        periods = {line.billing_period for line in charged if line.billing_period}
        for period in sorted(periods, key=lambda period: period.pk):
            for treatment, amount in billed_for(period).left().items():
                left[treatment] = left.get(treatment, NOTHING) + amount
        return max(min(own, gross(left, self.currency)), NOTHING)


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

    def by_treatment(self) -> dict[Treatment, Decimal]:
        """Their amounts by how they are taxed, what was billed last first."""
        return _added((line.treatment, line.amount) for line in self.select_related("taxed_by").order_by("-pk"))

    def left(self) -> dict[Treatment, Decimal]:
        """What was billed of a period, less the credit notes on the invoices that charged it, as `by_treatment`."""
        left = self.by_treatment()
        charged = self.filter(amount__gt=0).order_by().values("invoice")
        for note in CreditNote.objects.filter(invoice__in=charged).prefetch_related("taxes__of"):
            for treatment, price in note.prices().items():
                left[treatment] = left.get(treatment, NOTHING) - price
        return left

    def net(self) -> Decimal:
        """The sum of what is `left`, as prices are: without tax unless they include it. Never below 0."""
        return max(sum(self.left().values(), NOTHING), NOTHING)


def _added(amounts: Iterable[tuple[Treatment, Decimal]]) -> dict[Treatment, Decimal]:
    added: dict[Treatment, Decimal] = {}
    for treatment, amount in amounts:
        added[treatment] = added.get(treatment, NOTHING) + amount
    return added


class InvoiceLine(models.Model):
    class Kind(models.TextChoices):
        BASE = "base", "base price of a period, in advance"
        CREDIT = "credit", "credit for unused time"
        CHARGE = "charge", "charge for remaining time"
        DISCOUNT = "discount", "discount of a coupon"
        PACK = "pack", "tokens on top of the quota"
        OVERAGE = "overage", "tokens above the quota, in arrears"
        TAX = "tax", "tax on the lines before it"
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
    taxed_by = models.ForeignKey(
        InvoiceTax,
        null=True,
        on_delete=models.PROTECT,
        related_name="lines",
        db_index=False,
        help_text="None of a balance that was used, and where there was no seller.",
    )
    objects = InvoiceLineQuerySet.as_manager()

    class Meta:
        ordering = ["invoice", "position"]
        constraints = [models.UniqueConstraint(name="line_once", fields=["invoice", "position"])]

    def __str__(self) -> str:
        return f"{self.description}: {self.amount}"

    @property
    def treatment(self) -> Treatment:
        return UNTAXED if self.taxed_by is None else self.taxed_by.treatment

    @property
    def tax_percent(self) -> Decimal | None:
        """None of a line without tax category."""
        return None if self.taxed_by is None else self.taxed_by.percent

    @property
    def tax_category(self) -> str:
        """As EN 16931 has it; "" of a balance that was used, and where there was no seller."""
        return "" if self.taxed_by is None else self.taxed_by.category


NOT_SOLD = (InvoiceLine.Kind.TAX, InvoiceLine.Kind.BALANCE)
"""Lines that follow from the others."""
