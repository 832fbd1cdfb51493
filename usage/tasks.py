"""What beat does for the usage log."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from usage import partitions


@shared_task
def make_partitions() -> None:
    """Have the coming months' partitions ready before their first row."""
    partitions.ensure_ahead(timezone.now())
