"""Whose personal data was erased, when, and by whom."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class Erasure(models.Model):
    """Written by `billing.erasure` alone. Until it is finished the usage log lets go what its account has written."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="erasures")
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty: by a command.",
    )
    began_at = models.DateTimeField(help_text="Nobody calls or logs in as the account from then on.")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view",)
        permissions = [("erase_account", "Can erase the personal data of a customer")]
        constraints = [
            models.UniqueConstraint(name="erasure_one_at_a_time", fields=["account"], condition=Q(finished_at=None))
        ]

    def __str__(self) -> str:
        return f"erasure {self.pk} of account {self.account_id}"
