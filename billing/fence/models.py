"""The versions that tell every worker when its facts are stale, and how far each was pushed to Redis."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

CATALOGUE = 0
"""The subject of the catalogue's own fence; any other subject is an account's id."""


class Fence(models.Model):
    """Raised by database triggers in the transaction that changes a fact, so no door can forget it.

    A row whose `version` is above `pushed` waits to be pushed to Redis: on commit by the process that wrote, and by a
    sweep within a second when that process died in between. An account without a row stands at version 1.

    `changed` is the version at which a fact last changed. Above it stand raises that only make Redis learn a counter:
    a snapshot of version `changed` or later is not stale.
    """

    subject = models.BigIntegerField(primary_key=True, help_text="An account's id, or 0 for the catalogue.")
    version = models.BigIntegerField(default=1)
    changed = models.BigIntegerField(default=1, db_default=1)
    pushed = models.BigIntegerField(default=1)

    class Meta:
        indexes = [models.Index(fields=["subject"], name="fence_waiting", condition=Q(version__gt=F("pushed")))]

    def __str__(self) -> str:
        return f"{self.subject or 'catalogue'} at {self.version}"
