"""What beat does for the usage log."""

from __future__ import annotations

import logging

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from billing.postgres.clock import ClockSkewed
from ratelimit.servers.single import RedisUnreachable
from usage.ingest import received
from usage.log.idempotency import key_records
from usage.log.months import partitions, retention
from usage.metering.reservations import sweep
from usage.reconciliation import reconcile, second_charges
from usage.reconciliation.compare import LogShortened
from usage.thresholds import look

logger = logging.getLogger(__name__)
LOOKING_SECONDS = 1
"""A run of the task that looks at thresholds: half of the time between two, so that a worker has time for others."""


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


@shared_task(time_limit=6 * 3600)
def reconcile_usage() -> None:
    """Compare Redis, the sums and the log; what drifts is told to the log and as a metric, and left to a person."""
    try:
        reconcile.nightly(timezone.now())
    except (RedisUnreachable, LogShortened) as error:
        logger.error("usage was not reconciled: %s", error)


@shared_task
def purge_receipts() -> None:
    """Forget the Idempotency-Keys of metered calls that buy nothing any more."""
    key_records.purge(timezone.now())


@shared_task(time_limit=6 * 3600)
def purge_received_events() -> None:
    """Forget the ids of reported events that would not be taken any more."""
    received.purge(timezone.now())


@shared_task
def void_second_charges() -> None:
    """Give back what was charged twice under one Idempotency-Key, with and without Redis."""
    voided = second_charges.void_second_charges(timezone.now())
    if voided:
        logger.info("%d second charges under an Idempotency-Key were voided", voided)


@shared_task
def expire_reservations() -> None:
    """Finish what nobody has settled in time. Several at once do no harm."""
    expired = sweep.expire_due(timezone.now())
    if expired:
        logger.info("%d reservations have expired", expired)


@shared_task
def look_at_thresholds() -> None:
    """Tell of thresholds that were crossed. Several at once do no harm."""
    try:
        told = look.look_at_marked(timezone.now, LOOKING_SECONDS)
    except ClockSkewed as error:
        logger.error("no threshold is told: %s", error)
        return
    if told:
        logger.info("%d thresholds were crossed", told)
