"""Responses to billing writes that are given again under the Idempotency-Key of the first request."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models

KEPT_FOR = timedelta(hours=24)
"""How long an Idempotency-Key is remembered (the HTTP contract)."""
PURGE_BATCH = 10_000


class StoredResponseQuerySet(models.QuerySet["StoredResponse"]):
    def kept(self, now: datetime) -> StoredResponseQuerySet:
        """Those that are given again at `now`."""
        return self.filter(created_at__gt=now - KEPT_FOR)

    def purge(self, now: datetime) -> int:
        """Delete those that are no longer given again, PURGE_BATCH at a time; returns how many."""
        deleted = 0
        while True:
            old = self.filter(created_at__lte=now - KEPT_FOR).values("pk")[:PURGE_BATCH]
            batch, _ = self.filter(pk__in=old).delete()
            deleted += batch
            if batch < PURGE_BATCH:
                return deleted


class StoredResponse(models.Model):
    """The first 2xx response to a billing write under an Idempotency-Key."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    body = models.TextField(help_text="As it was rendered, so that 10.00 does not come back as 10.0.")
    created_at = models.DateTimeField()

    objects = StoredResponseQuerySet.as_manager()

    class Meta:
        db_table = "billing_storedanswer"  # its name before; a renamed table would stop the processes that still run
        constraints = [models.UniqueConstraint(name="answer_once", fields=["account", "key"])]

    def __str__(self) -> str:
        return self.key
