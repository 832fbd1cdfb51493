"""PostgreSQL, Redis, the cache, the broker, and whether all clocks agree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.conf import settings
from django.core.cache import cache as django_cache
from django.db import connection
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from billing.postgres import clock
from billing_site.celery import app
from billing_site.local.reachability import unreachable_postgres, unreachable_redis
from billing_site.operations.checks.postgres import check_postgres
from billing_site.operations.doctor.finding import Finding, Unanswered, fail, of_checks, ok, warn
from billing_site.operations.schema import missing_migrations
from ratelimit.checks import check_redis, facts_of_redis

NO_MIGRATION: Final = "billing_site.E015"
NOTABLE_SKEW_MS: Final = 1000


def postgres() -> Iterable[Finding]:
    if problem := unreachable_postgres():
        raise Unanswered(problem)
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version'), current_setting('max_connections')")
        row = cursor.fetchone()
    assert row is not None
    found = [message for message in check_postgres() if message.id != NO_MIGRATION]
    return of_checks("postgres", found) or [ok("postgres", f"version {row[0]}, up to {row[1]} connections")]


def migrations() -> Iterable[Finding]:
    if missing := missing_migrations():
        said = f"{len(missing)} are missing, the first is {missing[0]}"
        return [fail("migrations", said, "Run `manage.py migrate`.")]
    return [ok("migrations", "all of this code's are applied")]


def redis() -> Iterable[Finding]:
    if not settings.REDIS_CLUSTER and (problem := unreachable_redis()):
        raise Unanswered(problem)
    if found := of_checks("redis", check_redis()):
        return found
    facts = facts_of_redis()
    name = facts.get("server_name") or "redis"
    version = facts.get("valkey_version") or facts.get("redis_version")
    return [ok("redis", f"{name} {version}, noeviction, append-only file on")]


def cache() -> Iterable[Finding]:
    """A cache that is gone costs speed alone."""
    client = django_cache.client.get_client()  # type: ignore[attr-defined]
    try:
        client.ask_all_the_same("PING")
    except (RedisError, OSError) as error:
        return [warn("cache", f"does not answer: {error}", "Check CACHE_URL.")]
    return [ok("cache", "answers")]


def broker() -> Iterable[Finding]:
    try:
        with app.connection_for_write(connect_timeout=3) as asked:
            asked.ensure_connection(max_retries=1, interval_start=0, timeout=3, reraise_as_library_errors=True)
    except (BrokerError, OSError) as error:
        do = "Check BROKER_URL; without it nothing is renewed, mailed or charged by itself."
        return [fail("broker", f"does not answer: {' '.join(str(error).split())}", do)]
    return [ok("broker", "answers")]


def time() -> Iterable[Finding]:
    """This machine's clock beside PostgreSQL's. Redis' own is one of its checks."""
    ahead = clock.seconds_ahead()
    ahead_ms = round(ahead * 1000)
    said = f"this machine's clock is {abs(ahead_ms)} ms {'ahead of' if ahead_ms >= 0 else 'behind'} PostgreSQL's"
    if clock.is_too_far(ahead):
        return [fail("time", f"{said}: nothing is billed from here", "Synchronise the clocks (NTP).")]
    if abs(ahead_ms) > NOTABLE_SKEW_MS:
        return [warn("time", said, "Synchronise the clocks (NTP).")]
    return [ok("time", said)]
