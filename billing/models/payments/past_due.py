"""Invoices for which nothing more is tried by itself, while they are open."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Min, Q

from billing.fence.fenced import FencedModel
from billing.models.invoicing.invoices import Invoice
from billing.postgres.any_of import any_of


class PastDueQuerySet(models.QuerySet["PastDue"]):
    def since(self, accounts: Collection[int]) -> dict[int, datetime]:
        """Since when the oldest of each account's has been past due; accounts without any are left out."""
        rows = self.filter(any_of("account", accounts)).order_by().values_list("account")
        return dict(rows.annotate(first=Min("since")))


class PastDue(FencedModel):
    """One row an invoice, from the end of dunning until it is settled or void. Written by `invoicing.past_due` alone.

    What an account may do rests on it: a trigger raises the fence.
    """

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="past_due")
    invoice = models.OneToOneField(Invoice, on_delete=models.PROTECT, related_name="past_due")
    since = models.DateTimeField()
    pause_told_at = models.DateTimeField(null=True, help_text="When the customer was told that the grace has ended.")
    objects = PastDueQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "past due"
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["since"], name="past_due_pause_untold", condition=Q(pause_told_at__isnull=True))
        ]

    def __str__(self) -> str:
        return f"{self.invoice} since {self.since:%Y-%m-%d}"

    def fence_subject(self) -> int:
        return int(self.account_id)
