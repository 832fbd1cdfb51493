"""Prometheus metrics: what was decided and how fast, and, when scraped, how the engines and the drain are."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.db.models import Count
from django.utils import timezone
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from billing.models import OutboxCursor, Subscription
from billing.outbox.retention import backlogs
from billing_site.operations import chains, payments
from ratelimit.limits import Outcome
from ratelimit.servers.single import RedisUnreachable
from usage.drain import drain
from usage.metering.admission import Admission
from usage.models import Reconciliation, SetAsideEntry
from usage.sync import outage
from usage.sync.outage import asking_redis

decisions = Counter("gateway_decisions", "Calls decided on, by outcome.", ["outcome"])
admit_seconds = Histogram(
    "gateway_admit_seconds",
    "Seconds from an identified caller to a decision.",
    buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
)
without_redis = Counter("gateway_decisions_without_redis", "Calls decided on by PostgreSQL, by outcome.", ["outcome"])
_count_outcome = [decisions.labels(outcome.name.lower()).inc for outcome in sorted(Outcome)]  # by number, from 1
_count_lacking = decisions.labels("feature_not_in_plan").inc
_observe = admit_seconds.observe


def count(admission: Admission, seconds: float) -> None:
    """Count one decision by its outcome, and the seconds it took."""
    _observe(seconds)
    (_count_outcome[admission.decision.outcome - 1] if admission.entitled else _count_lacking)()
    if not admission.by_redis:
        without_redis.labels(admission.decision.outcome.name.lower()).inc()


def _backlog_and_lag() -> tuple[int, float]:
    """Audit events that wait for the drain, and the age of the oldest in seconds. Raises RedisUnreachable."""
    return sum(drain.backlog().values()), drain.lag_seconds(time.time_ns() // 1_000_000)


def _reconciled() -> Iterable[Metric]:
    """Gauges of the last comparison of all accounts; none before the first."""
    last = Reconciliation.objects.order_by("-finished_at").first()
    if last is not None:
        drifting = last.drifting - last.repaired
        yield GaugeMetricFamily("reconcile_drifting_accounts", "Accounts with drift that nobody repaired.", drifting)
        finished = last.finished_at.timestamp()
        yield GaugeMetricFamily("reconcile_finished_timestamp_seconds", "When the last one ended, Unix time.", finished)


def _subscriptions() -> Iterable[Metric]:
    counts = GaugeMetricFamily("subscriptions", "Subscriptions by status; canceled ones have ended.", labels=["status"])
    found = dict(Subscription.objects.order_by().values_list("status").annotate(Count("pk")))
    for status in Subscription.Status.values:
        counts.add_metric([status], found.get(status, 0))
    yield counts
    ending = Subscription.objects.ending().count()
    yield GaugeMetricFamily("subscriptions_ending", "Active ones that end with their period.", ending)


def _outbox() -> Iterable[Metric]:
    """By consumer: what it has not got, how old that is, and accounts that wait for a message that fails."""
    waiting = GaugeMetricFamily("outbox_waiting_messages", "Messages a consumer has not got.", labels=["consumer"])
    oldest = GaugeMetricFamily("outbox_oldest_seconds", "Age of the oldest of them.", labels=["consumer"])
    failing = GaugeMetricFamily("outbox_failing_accounts", "Accounts a failing message holds up.", labels=["consumer"])
    for backlog in backlogs(settings.OUTBOX_CONSUMERS):
        name = [backlog.consumer]
        waiting.add_metric(name, backlog.messages)
        oldest.add_metric(name, max(time.time() - backlog.oldest.timestamp(), 0) if backlog.oldest else 0)
        failing.add_metric(name, OutboxCursor.objects.failing().filter(consumer=backlog.consumer).count())
    return waiting, oldest, failing


class _Engines:
    """Gauges of the engines and the drain, read when they are scraped: every worker gives the same figures."""

    def collect(self) -> Iterable[Metric]:
        redis_up, backlog, lag = 1, 0, 0.0
        try:
            backlog, lag = asking_redis(_backlog_and_lag)
        except RedisUnreachable:
            redis_up = 0
        yield GaugeMetricFamily("redis_up", "1 while Redis answers.", redis_up)
        if redis_up:
            yield GaugeMetricFamily("drain_backlog_entries", "Audit events that wait for the drain.", backlog)
            yield GaugeMetricFamily("drain_lag_seconds", "Age of the oldest audit event that waits.", lag)
        try:
            connection.ensure_connection()
            set_aside = SetAsideEntry.objects.count()
        except DatabaseError:
            yield GaugeMetricFamily("postgres_up", "1 while PostgreSQL answers.", 0)
            return
        yield GaugeMetricFamily("postgres_up", "1 while PostgreSQL answers.", 1)
        yield GaugeMetricFamily("drain_set_aside_entries", "Entries that no drain could read.", set_aside)
        yield from _reconciled()
        yield from _outbox()
        yield from _subscriptions()
        yield from payments.metrics()
        yield from chains.gauges(timezone.now())
        yield GaugeMetricFamily("redis_outage", "1 while calls are decided without Redis.", outage.is_active())


def exposition() -> bytes:
    """The metrics of all processes in Prometheus' text format."""
    engines = CollectorRegistry()
    engines.register(_Engines())
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY) + generate_latest(engines)
    processes = CollectorRegistry()
    MultiProcessCollector(processes)
    return generate_latest(processes) + generate_latest(engines)
