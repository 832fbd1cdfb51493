"""What operators' tools ask for: /health and /metrics."""

from __future__ import annotations

import hmac
from typing import Final

from django.conf import settings
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from prometheus_client import CONTENT_TYPE_LATEST

from billing.entitlements import snapshots
from billing.http.access import Access, declares
from billing_site.operations import chains, payments
from billing_site.operations.exposition import exposition
from billing_site.operations.schema import missing_migrations
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import store
from usage.metering import fallback
from usage.sync.outage import breaker

ASKED_WITHOUT_ENGINES: Final = Access(ungated=True)
NOT_MIGRATED: Final = "not migrated"


@declares(ASKED_WITHOUT_ENGINES)
@never_cache
def health(request: HttpRequest) -> JsonResponse:
    """200 while calls can be decided on: without PostgreSQL those of warm accounts, without Redis by PostgreSQL.

    It is 503 where this process can serve nobody: PostgreSQL is gone before any account was warm, or it lacks
    migrations of this code, so that every call fails.

    Redis is "recovering" when it answers, but this process still decides by PostgreSQL: Redis has to know first what
    was charged without it.

    Where payments in stablecoins are on, each enabled chain is a part: "ok", "stalled", or "parked". Neither keeps
    anybody from being served.
    """
    parts = {"postgres": _postgres(), "redis": redis_state()}
    if parts["postgres"] == "ok":
        parts |= payments.health() | chains.parts(timezone.now())
    degraded = sorted(name for name, state in parts.items() if state != "ok")
    without_redis = settings.WHEN_REDIS_IS_DOWN != fallback.REFUSE and parts["postgres"] == "ok"
    by_redis = parts["redis"] == "ok" and (parts["postgres"] == "ok" or snapshots.knows_somebody())
    serving = parts["postgres"] != NOT_MIGRATED and (by_redis or without_redis)
    status = "ok" if not degraded else "degraded" if serving else "down"
    return JsonResponse({"status": status, "parts": parts, "degraded": degraded}, status=200 if serving else 503)


@declares(ASKED_WITHOUT_ENGINES)
@never_cache
def prometheus(request: HttpRequest) -> HttpResponse:
    """The metrics: with METRICS_TOKEN for its bearer alone, without it for everybody."""
    token = settings.METRICS_TOKEN
    given = request.META.get("HTTP_AUTHORIZATION", "")
    if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        return HttpResponse("set Authorization: Bearer <METRICS_TOKEN>\n", status=401, content_type="text/plain")
    return HttpResponse(exposition(), content_type=CONTENT_TYPE_LATEST)


def _postgres() -> str:
    try:
        return NOT_MIGRATED if missing_migrations() else "ok"
    except DatabaseError:
        return "unreachable"


def redis_state() -> str:
    """As this process finds it: "ok", "unreachable", or "recovering"."""
    try:
        store().ping()
    except RedisUnreachable:
        return "unreachable"
    return "recovering" if breaker.is_open else "ok"
