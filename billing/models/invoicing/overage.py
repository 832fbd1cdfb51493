"""What was used above the quota of a usage window, and what of it was billed."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from billing.models.invoicing.invoices import Invoice
from billing.models.subscriptions.billing_periods import BillingPeriod


class WindowOverage(models.Model):
    """One usage window of an account, or the part of it before a change of plan. Written by `billing.subscriptions`.

    `tokens` and `amount` are what its invoices come to: late usage adds to them, what is voided later takes off.
    """

    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="window_overages", db_index=False
    )
    billing_period = models.ForeignKey(
        BillingPeriod, on_delete=models.PROTECT, related_name="overages", help_text="It was sold in this one."
    )
    window_starts_at = models.DateTimeField()
    until = models.DateTimeField(help_text="The window's end, or when the plan was changed within it.")
    is_part = models.BooleanField(default=False, help_text="The plan was changed before the window's end.")
    included = models.BigIntegerField(null=True, help_text="Tokens that cost nothing extra. Null: all of them.")
    unit_price = models.DecimalField(max_digits=15, decimal_places=4, null=True, help_text="Of 1,000 tokens.")
    currency = models.CharField(max_length=3)
    used = models.BigIntegerField(null=True, help_text="Up to its end, when it was last looked at.")
    tokens = models.BigIntegerField(default=0, help_text="Billed above the quota.")
    amount = models.DecimalField(max_digits=18, decimal_places=4, default=0)
    invoice = models.ForeignKey(
        Invoice, null=True, on_delete=models.PROTECT, related_name="overages", help_text="The last one that bills it."
    )

    class Meta:
        ordering = ["-until", "-pk"]
        verbose_name = "overage"
        verbose_name_plural = "overage"
        constraints = [
            models.UniqueConstraint(name="overage_once", fields=["account", "window_starts_at", "until"]),
        ]
        indexes = [
            models.Index(name="overage_unbilled", fields=["until"], condition=models.Q(used=None)),
            models.Index(name="overage_until", fields=["-until", "-id"]),
        ]

    def __str__(self) -> str:
        return f"{self.account}: {self.window_starts_at:%Y-%m-%d} to {self.until:%Y-%m-%d}"
