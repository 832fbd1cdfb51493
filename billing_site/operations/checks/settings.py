"""Start-up checks: settings that would break a law, and what PostgreSQL must be for what it has committed to count."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib import import_module
from typing import Any
from urllib.parse import parse_qs, urlsplit

import redis
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.db import connection
from django.utils.module_loading import import_string

from billing.erasure.erasers import FUNCTIONS, erasers
from billing_site.operations.schema import missing_migrations
from ratelimit.checks import ENGINES, report_engines
from usage.metering import fallback

logger = logging.getLogger(__name__)
ENFORCEMENT = "enforcement"
"""Tag of the checks of settings. They ask no engine and run before every command."""
GATEWAY = "billing_site.gateway.Gateway"
CALLERS_USER = "billing_site.request.request_user.CallersUser"
WITHIN_THE_GATEWAY = frozenset(
    {
        "django.middleware.security.SecurityMiddleware",
        "whitenoise.middleware.WhiteNoiseMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        CALLERS_USER,
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
        "simple_history.middleware.HistoryRequestMiddleware",
    }
)
POSTGRES = """
SELECT current_setting('TimeZone'), current_setting('transaction_isolation'), current_setting('synchronous_commit'),
    current_setting('fsync'), current_setting('full_page_writes'), pg_is_in_recovery()
"""


def at_start() -> None:
    """At the start of a web process: wrong settings end it, and what is wrong with an engine is logged.

    An engine's faults are loud and stop nothing: a site that restarts in the middle of trouble must come up. They fail
    `manage.py check --deploy`, where a deployment sees them. Raises ImproperlyConfigured.
    """
    messages = run_checks(tags=[ENFORCEMENT])
    if wrong := [message for message in messages if message.is_serious()]:
        raise ImproperlyConfigured("; ".join(f"{message.id} {message.msg} {message.hint}" for message in wrong))
    for message in messages:
        logger.log(message.level, "%s %s HINT: %s", message.id, message.msg, message.hint)
    import_module(settings.ROOT_URLCONF)  # here, and not by the first request and by a check in its thread at once
    report_engines()


@register(ENFORCEMENT)
def check_gateway(**_: Any) -> Iterable[CheckMessage]:
    middleware = list(settings.MIDDLEWARE)
    if middleware.count(GATEWAY) != 1:
        yield Error(
            f"{GATEWAY} stands {middleware.count(GATEWAY)} times in MIDDLEWARE: calls would be served uncharged, or"
            " charged twice.",
            hint="Name it once, after billing_site.request.request_id.RequestId and before all of Django's.",
            id="billing_site.E001",
        )
        return
    outside = WITHIN_THE_GATEWAY.intersection(middleware[: middleware.index(GATEWAY)])
    if outside:
        yield Error(
            f"{', '.join(sorted(outside))} stand before the gateway in MIDDLEWARE: it would not see the final status of"
            " a call, or CSRF would be asked of API keys.",
            hint="Move the gateway before them, directly after billing_site.request.request_id.RequestId.",
            id="billing_site.E002",
        )
    if CALLERS_USER not in middleware:
        yield Error(
            f"{CALLERS_USER} is missing in MIDDLEWARE: `request.user` would be nobody for callers with an API key.",
            hint="Name it in the place of django.contrib.auth.middleware.AuthenticationMiddleware.",
            id="billing_site.E016",
        )


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


@register(ENFORCEMENT)
def check_outbox_consumers(**_: Any) -> Iterable[CheckMessage]:
    for name, path in settings.OUTBOX_CONSUMERS.items():
        try:
            import_string(path)
        except ImportError as error:
            hint = "Let OUTBOX_CONSUMERS map names to paths of callables that take a message."
            yield Error(f"The outbox's consumer {name!r} is not there: {error}.", hint=hint, id="billing_site.E014")


@register(ENFORCEMENT)
def check_payment_methods(**_: Any) -> Iterable[CheckMessage]:
    """A path that leads nowhere would only show when the first trial ends."""
    path = settings.BILLING_HAS_PAYMENT_METHOD
    try:
        if path:
            import_string(path)
    except ImportError as error:
        hint = "Let BILLING_HAS_PAYMENT_METHOD be the path of a function, or empty."
        yield Error(f"Nobody says who has a payment method: {error}.", hint=hint, id="billing_site.E017")


@register(ENFORCEMENT)
def check_account_erasers(**_: Any) -> Iterable[CheckMessage]:
    try:
        lacking = [f"{each}: {name}" for each in erasers() for name in FUNCTIONS if not hasattr(each, name)]
    except ImportError as error:
        lacking = [str(error)]
    if lacking:
        hint = f"Let ACCOUNT_ERASERS name modules with {', '.join(FUNCTIONS)}, as usage.erasure."
        yield Error(f"Nobody can be erased, or deleted: {'; '.join(lacking)}.", hint=hint, id="billing_site.E018")


@register(Tags.security, deploy=True)
def check_mails(**_: Any) -> Iterable[CheckMessage]:
    if settings.EMAIL_BACKEND == "billing.mails.mailbox.Mailbox":
        hint = "Set EMAIL_URL, and DEFAULT_FROM_EMAIL: see docs/mails.md."
        yield Warning("Mails reach nobody: they stay in the admin's mailbox.", hint=hint, id="billing_site.W007")
    elif "localhost" in settings.DEFAULT_FROM_EMAIL + settings.SITE_URL:
        hint = "Set DEFAULT_FROM_EMAIL and SITE_URL."
        yield Warning("Mails come from localhost, or lead there.", hint=hint, id="billing_site.W007")


@register(Tags.security, deploy=True)
def check_what_is_open(**_: Any) -> Iterable[CheckMessage]:
    """What is meant for trying things out, and who stands between the site and its clients."""
    if not settings.METRICS_TOKEN:
        hint = "Set METRICS_TOKEN, and have Prometheus send it as a bearer token."
        yield Warning("Whoever reaches the site can read /metrics.", hint=hint, id="billing_site.W003")
    if settings.SANDBOX:
        hint = "Unset SANDBOX: its endpoints fail and wait as their callers say."
        yield Warning("The sandbox's endpoints are mounted.", hint=hint, id="billing_site.W004")
    if not settings.BEHIND_PROXY:
        yield Warning(
            "No proxy is said to stand before the site: slow clients are the web server's own business.",
            hint="Put a proxy that buffers requests before it and set BEHIND_PROXY=1.",
            id="billing_site.W005",
        )
    elif not settings.CLIENT_ADDRESS_HEADER:
        yield Warning(
            "Behind the proxy all clients have one address: what one of them does wrong is held against all.",
            hint="Set CLIENT_ADDRESS_HEADER to the header in which the proxy always writes the client's address.",
            id="billing_site.W006",
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


@register(ENGINES, deploy=True)
def check_postgres(**_: Any) -> Iterable[CheckMessage]:
    """What must hold of PostgreSQL's settings. Its version is checked by Django, at the first connection."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(POSTGRES)
            row = cursor.fetchone()
            assert row is not None
        missing = missing_migrations()
    except DatabaseError as error:
        reason = " ".join(str(error).split())
        hint = "Start it or check DATABASE_URL, then run `manage.py check --deploy`: nothing could be verified."
        return [Warning(f"PostgreSQL does not answer: {reason}", hint=hint, id="billing_site.W010")]
    return [*_faults_of_postgres(*row), *_faults_of_tables(missing)]


def _faults_of_tables(missing: list[str]) -> Iterable[CheckMessage]:
    if missing:
        yield Error(
            f"The database lacks {len(missing)} of this code's migrations, the first is {missing[0]}.",
            hint="Run `manage.py migrate`, and `manage.py seed_catalogue` after the first time.",
            id="billing_site.E015",
        )


def _faults_of_postgres(
    zone: str, isolation: str, commit: str, fsync: str, full_pages: str, is_standby: bool
) -> Iterable[CheckMessage]:
    if is_standby:
        hint = "Let DATABASE_URL name the primary."
        yield Error("PostgreSQL is a standby: nothing can be charged or sold.", hint=hint, id="billing_site.E010")
    if zone != "UTC":
        hint = "Remove TIME_ZONE from DATABASES, and -c timezone from its OPTIONS."
        yield Error(f"PostgreSQL's sessions are in {zone}, not in UTC.", hint=hint, id="billing_site.E011")
    if isolation != "read committed":
        yield Error(
            f"PostgreSQL's transactions are {isolation}: charges and drains would fail on each other.",
            hint="Set default_transaction_isolation to 'read committed' for this database.",
            id="billing_site.E012",
        )
    if commit == "off" or "off" in (fsync, full_pages):
        yield Error(
            f"PostgreSQL does not keep what it commits (synchronous_commit {commit}, fsync {fsync}, full_page_writes"
            f" {full_pages}): events that have left Redis would be lost in a crash.",
            hint="Turn these settings on.",
            id="billing_site.E013",
        )
