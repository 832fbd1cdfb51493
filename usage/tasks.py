"""What beat does for the usage log."""

from __future__ import annotations

import logging

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from usage import partitions, retention

logger = logging.getLogger(__name__)


@shared_task
def make_partitions() -> None:
    """Have the coming months' partitions ready before their first row."""
    partitions.ensure_ahead(timezone.now())


@shared_task(time_limit=6 * 3600)
def retire_partitions() -> None:
    """Export and detach the months that are older than the log is kept."""
    try:
        retention.retire(timezone.now(), logger.info, drop=settings.USAGE_LOG_DROP)
    except retention.AnotherRun as error:
        logger.info("%s", error)
    except retention.CannotRetire as error:
        logger.error("%s", error)
