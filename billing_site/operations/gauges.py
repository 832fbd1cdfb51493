"""How the engines, the drain, the close, mails and the outbox are, read when /metrics is scraped.

Every process gives the same figures. Each is one look at an index, or is bounded, or is kept for a minute: scraping has
to stay cheap where tables are large. A part that is asked of an engine that is gone is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.core.cache import cache
from django.db import Error as DatabaseError
from django.db import connection
from django.db.models import Count, Min, Sum
from django.utils import timezone
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from billing import tallies
from billing.models import OutboxCursor, SentMail, Subscription
from billing.outbox.retention import COUNTED, backlogs
from billing.subscriptions.period_end.report import TALLIES
from billing_site.operations import chains, last_beat, payments, webhooks
from ratelimit.servers.single import RedisUnreachable
from usage.drain import drain
from usage.models import Reconciliation, RedisOutage, Reservation, SetAsideEntry
from usage.sync.outage import asking_redis

KEPT_SECONDS: Final = 60
"""What takes a look at each row of a table that grows, is looked at once a minute."""
DAY: Final = timedelta(days=1)
Source = Callable[[datetime], Iterable[Metric]]


def gauge(name: str, meaning: str, value: float | None = None, labels: list[str] | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"metered_{name}", meaning, value, labels)


def _fallback(now: datetime) -> Iterable[Metric]:
    began = RedisOutage.objects.filter(ended_at=None).values_list("began_at", flat=True).first()
    yield gauge("fallback", "1 while calls are decided without Redis, by some process.", began is not None)
    since = began.timestamp() if began else 0
    yield gauge("fallback_since_timestamp_seconds", "When that began, Unix time; 0: calls are decided by Redis.", since)


def _drain(now: datetime) -> Iterable[Metric]:
    yield gauge("drain_set_aside_entries", "Entries that no drain could read.", SetAsideEntry.objects.count())


def _closes(now: datetime) -> Iterable[Metric]:
    due = Subscription.objects.due(now).order_by().aggregate(number=Count("pk"), oldest=Min("period_ends_at"))
    yield gauge("closes_due", "Subscriptions whose period has ended and is not closed yet.", due["number"])
    late = (now - due["oldest"]).total_seconds() if due["oldest"] else 0
    yield gauge("closes_oldest_due_seconds", "How long the oldest of them has been due.", late)
    yield gauge("closes_parked", "Subscriptions that wait for staff.", Subscription.objects.parked().count())
    done = CounterMetricFamily("metered_closes", "Subscriptions at a close, by what became of them.", labels=["result"])
    counted = tallies.read(list(TALLIES.values()))
    for result, name in TALLIES.items():
        done.add_metric([result], counted.get(name, 0))
    yield done


def _subscriptions(now: datetime) -> Iterable[Metric]:
    found = _once_a_minute("subscriptions", _subscriptions_by_status)
    counts = gauge("subscriptions", "Subscriptions by status; canceled ones have ended.", labels=["status"])
    for status in Subscription.Status.values:
        counts.add_metric([status], found.get(status, 0))
    yield counts
    ending = Subscription.objects.ending().count()
    yield gauge("subscriptions_ending", "Active ones that end with their period.", ending)


def _subscriptions_by_status() -> dict[str, int]:
    return dict(Subscription.objects.order_by().values_list("status").annotate(Count("pk")))


def _once_a_minute(name: str, read: Callable[[], dict[str, int]]) -> dict[str, int]:
    key = f"metrics:{name}"
    kept: dict[str, int] | None = cache.get(key)
    if kept is None:
        kept = read()
        cache.set(key, kept, KEPT_SECONDS)
    return kept


def _outbox(now: datetime) -> Iterable[Metric]:
    """By consumer: what it has not got, how old that is, and accounts that wait for a message that fails."""
    said = f"Messages a consumer has not got; {COUNTED} means so many or more."
    waiting = gauge("outbox_waiting_messages", said, labels=["consumer"])
    oldest = gauge("outbox_lag_seconds", "Age of the oldest of them.", labels=["consumer"])
    failing = gauge("outbox_failing_accounts", "Accounts a failing message holds up.", labels=["consumer"])
    for backlog in backlogs(settings.OUTBOX_CONSUMERS):
        name = [backlog.consumer]
        waiting.add_metric(name, backlog.messages)
        oldest.add_metric(name, max(time.time() - backlog.oldest.timestamp(), 0) if backlog.oldest else 0)
        failing.add_metric(name, OutboxCursor.objects.failing().filter(consumer=backlog.consumer).count())
    return waiting, oldest, failing


def _mails(now: datetime) -> Iterable[Metric]:
    waiting = SentMail.objects.filter(sent_at=None)
    failing = waiting.filter(given_up_at=None).exclude(error="").count()
    yield gauge("mails_failing", "Mails that were tried in vain, and are tried again.", failing)
    given_up = waiting.filter(given_up_at__gte=now - DAY).count()
    yield gauge("mails_given_up_last_day", "Mails that were given up in the last 24 hours.", given_up)


def _reservations(now: datetime) -> Iterable[Metric]:
    is_open = Reservation.objects.filter(state=Reservation.State.OPEN).count()
    yield gauge("reservations_open", "Reservations that are not finished.", is_open)
    of_the_day = Reservation.objects.order_by().filter(finished_at__gte=now - DAY)
    expired = of_the_day.filter(state=Reservation.State.EXPIRED).count()
    yield gauge("reservations_expired_last_day", "Those that nobody settled in time, in the last 24 hours.", expired)
    lost = of_the_day.filter(uncollected__gt=0).aggregate(tokens=Sum("uncollected"))["tokens"] or 0
    said = "Tokens above a bound that no quota had and nobody pays, in the last 24 hours."
    yield gauge("tokens_uncollected_last_day", said, lost)


def _reconciled(now: datetime) -> Iterable[Metric]:
    """Gauges of the last comparison of all accounts; none before the first."""
    last = Reconciliation.objects.order_by("-finished_at").first()
    if last is not None:
        drifting = last.drifting - last.repaired
        yield gauge("reconcile_drifting_accounts", "Accounts with drift that nobody repaired.", drifting)
        finished = last.finished_at.timestamp()
        yield gauge("reconcile_finished_timestamp_seconds", "When the last one ended, Unix time.", finished)


SOURCES: Final[list[Source]] = [
    _fallback,
    _drain,
    _closes,
    _subscriptions,
    _outbox,
    _mails,
    _reservations,
    _reconciled,
    payments.gauges,
    chains.gauges,
    webhooks.gauges,
]
"""What PostgreSQL is asked. Each takes the present time and may raise DatabaseError; a new part adds its own here."""


class Gauges:
    """A collector of the client library's."""

    def collect(self) -> Iterable[Metric]:
        yield from _of_redis()
        try:
            connection.ensure_connection()
            now = timezone.now()
            found = [metric for source in SOURCES for metric in source(now)]
        except DatabaseError:
            yield gauge("postgres_up", "1 while PostgreSQL answers.", 0)
            return
        yield gauge("postgres_up", "1 while PostgreSQL answers.", 1)
        yield from found


def _of_redis() -> Iterable[Metric]:
    try:
        entries, lag = asking_redis(_waiting_for_the_drain)
    except RedisUnreachable:
        yield gauge("redis_up", "1 while Redis answers.", 0)
        return
    yield gauge("redis_up", "1 while Redis answers.", 1)
    yield gauge("drain_stream_entries", "Audit events that wait for the drain.", entries)
    yield gauge("drain_lag_seconds", "Age of the oldest audit event that waits.", lag)
    beat_at = last_beat.read()
    at = beat_at.timestamp() if beat_at else 0
    yield gauge("last_beat_timestamp_seconds", "When beat and a worker last did something, Unix time; 0: never.", at)


def _waiting_for_the_drain() -> tuple[int, float]:
    """Entries, and the age of the oldest in seconds. Raises RedisUnreachable."""
    return sum(drain.backlog().values()), drain.lag_seconds(time.time_ns() // 1_000_000)
