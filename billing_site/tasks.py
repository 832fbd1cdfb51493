"""What beat does for the site itself."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from billing_site.operations import last_beat
from billing_site.staff_home import figures


@shared_task
def note_beat() -> None:
    """Say that beat and a worker are alive: this task came from the one and ran in the other."""
    last_beat.note(timezone.now())


@shared_task
def read_staff_figures() -> None:
    """Read the figures of the staff's home anew, so that nobody who looks waits for them."""
    figures.read_anew(timezone.now())
