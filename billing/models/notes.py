"""What staff note about a customer, for one another."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

LONGEST_NOTE = 2_000


class AccountNote(models.Model):
    """Stays as it was written. The customer does not see it; it goes when the account is erased or deleted."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notes")
    text = models.CharField(max_length=LONGEST_NOTE)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at", "-pk"]
        default_permissions = ("add", "view")
        verbose_name = "note"

    def __str__(self) -> str:
        return f"{self.account}: {self.text[:50]}"
