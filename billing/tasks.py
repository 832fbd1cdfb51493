"""What beat does for subscriptions and the fence."""

from __future__ import annotations

from celery import shared_task

from billing import fencing


@shared_task
def sweep_fences() -> None:
    """Push what a process that died between commit and push has left behind."""
    fencing.sweep()
