"""What beat does for the site itself."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from billing_site.operations import last_beat


@shared_task
def note_beat() -> None:
    """Say that beat and a worker are alive: this task came from the one and ran in the other."""
    last_beat.note(timezone.now())
