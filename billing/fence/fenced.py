"""Rows that decisions rest on: saving one tells every worker."""

from __future__ import annotations

from typing import Any

from django.db import models, transaction

from billing.fence.models import CATALOGUE


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
