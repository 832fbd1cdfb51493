"""The versions that tell every worker when its facts are stale, and the outbox that carries them to Redis."""

from __future__ import annotations

from typing import Any

from django.db import models, transaction
from django.db.models import F, Q

CATALOGUE = 0
"""The subject of the catalogue's own fence; any other subject is an account's id."""


class Fence(models.Model):
    """Raised by database triggers in the transaction that changes a fact, so no door can forget it.

    A row whose `version` is above `pushed` waits to be told to Redis: on commit by the process that wrote, and by a
    sweep every second when that process died in between. An account without a row stands at version 1.

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


class FencedModel(models.Model):
    """A fact that decisions rest on. Its table carries a trigger that raises the fence; saving it pushes on commit."""

    class Meta:
        abstract = True

    def fence_subject(self) -> int:
        return CATALOGUE

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            super().save(*args, **kwargs)
            push_on_commit(self.fence_subject())

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        subject = self.fence_subject()
        with transaction.atomic():
            deleted = super().delete(*args, **kwargs)
            push_on_commit(subject)
        return deleted


def push_on_commit(subject: int) -> None:
    """Tell Redis the subject's version as soon as the transaction is committed; a failure is left to the sweep."""
    from billing.fence.push import push

    transaction.on_commit(lambda: push([subject]), robust=True)
