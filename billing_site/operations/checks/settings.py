"""Start-up checks of settings that would break a law: the clock, PostgreSQL, Redis and who shares it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import redis
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from billing_site.operations.checks.start import ENFORCEMENT
from usage.metering import fallback


@register(ENFORCEMENT)
def check_time(**_: Any) -> Iterable[CheckMessage]:
    if not settings.USE_TZ or settings.TIME_ZONE != "UTC" or settings.CELERY_TIMEZONE != "UTC":
        yield Error(
            "Times are not in UTC: months, invoices and scheduled changes would begin at another instant.",
            hint='Set USE_TZ = True, TIME_ZONE = "UTC" and CELERY_TIMEZONE = "UTC".',
            id="billing_site.E003",
        )
    if settings.RATELIMIT_CLOCK != "server":
        yield Warning(
            "Each process judges the minute by its own clock (RATELIMIT_CLOCK).",
            hint='Set RATELIMIT_CLOCK = "server"; the other value is for tests.',
            id="billing_site.W001",
        )


@register(ENFORCEMENT)
def check_database_settings(**_: Any) -> Iterable[CheckMessage]:
    database = settings.DATABASES["default"]
    if database.get("ATOMIC_REQUESTS"):
        yield Error(
            "ATOMIC_REQUESTS is on: events would leave Redis before PostgreSQL has committed them for good.",
            hint="Turn it off; what belongs together is in a transaction where it is written.",
            id="billing_site.E004",
        )
    if database["ENGINE"] not in ("billing.postgres", "django.db.backends.postgresql"):
        hint = "Let DATABASE_URL begin with postgresql://."
        yield Error(f"The database is no PostgreSQL but {database['ENGINE']}.", hint=hint, id="billing_site.E005")


@register(ENFORCEMENT)
def check_redis_settings(**_: Any) -> Iterable[CheckMessage]:
    known = (fallback.FALLBACK, fallback.REFUSE, fallback.ADMIT)
    if settings.WHEN_REDIS_IS_DOWN not in known:
        hint = f"Set it to one of {', '.join(known)}."
        yield Error(f"WHEN_REDIS_IS_DOWN is {settings.WHEN_REDIS_IS_DOWN!r}.", hint=hint, id="billing_site.E006")
    if settings.REDIS_TIMEOUT_MS <= 0 or settings.RATELIMIT_SHARDS < 1 or settings.REDIS_WAIT_REPLICAS < 0:
        yield Error(
            "REDIS_TIMEOUT_MS and RATELIMIT_SHARDS must be above 0, REDIS_WAIT_REPLICAS not below.",
            hint="Their defaults are 100, 64 and 0.",
            id="billing_site.E007",
        )
    if settings.REDIS_WAIT_REPLICAS and not 0 < settings.REDIS_WAIT_MS < settings.REDIS_TIMEOUT_MS:
        yield Error(
            "REDIS_WAIT_MS must lie above 0, which waits for ever, and below REDIS_TIMEOUT_MS: a call would be given up"
            " before its replicas are.",
            hint="Half of REDIS_TIMEOUT_MS leaves room for the call itself.",
            id="billing_site.E008",
        )
    enforcement = _place(settings.REDIS_URL)
    if _place(str(settings.CACHES["default"].get("LOCATION", ""))) == enforcement:
        yield Error(
            "CACHE_URL and REDIS_URL name the same Redis database: clearing the cache would empty the quotas' counters"
            " and lose the events that are not drained.",
            hint="Give the cache another database (redis://host/1), better another server.",
            id="billing_site.E009",
        )
    if _place(settings.CELERY_BROKER_URL) == enforcement:
        yield Warning(
            "BROKER_URL and REDIS_URL name the same Redis database: emptying the queues by FLUSHDB would empty the"
            " quotas' counters.",
            hint="Give the broker another database (redis://host/2), better another server.",
            id="billing_site.W002",
        )


def _place(url: str) -> tuple[str, int, int] | None:
    """Which server and database a Redis URL names, in redis-py's or Celery's spelling; None for another broker."""
    parts = urlsplit(url)
    if parts.scheme == "redis+socket":
        return parts.path, 0, int(parse_qs(parts.query).get("virtual_host", ["0"])[0])
    if parts.scheme not in ("redis", "rediss", "unix"):
        return None
    named = redis.ConnectionPool.from_url(url).connection_kwargs
    if "path" in named:
        return named["path"], 0, named.get("db", 0)
    return named.get("host", "localhost"), named.get("port", 6379), named.get("db", 0)
