"""What beat does for subscriptions, the fence and stored responses."""

from __future__ import annotations

import logging

from celery import shared_task
from django.utils import timezone

from billing.fence import push
from billing.models import StoredResponse
from billing.subscriptions import renewal

logger = logging.getLogger(__name__)


@shared_task
def apply_due_changes() -> None:
    """Close the periods that have ended: renew, apply what is scheduled, invoice. Several at once do no harm."""
    closed = renewal.renew_due(timezone.now())
    if closed.periods or closed.parked or closed.failed:
        logger.info("%s", closed)
    if closed.failed:
        logger.error("%d subscriptions could not be closed and are tried again in a minute", len(closed.failed))


@shared_task
def purge_stored_answers() -> None:
    """Delete the responses to billing writes that no Idempotency-Key returns any more."""
    StoredResponse.objects.purge(timezone.now())


@shared_task
def sweep_fences() -> None:
    """Push what a process that died between commit and push has left behind."""
    push.sweep()
