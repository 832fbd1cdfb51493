"""The site's paths, and the sandbox's view outside of everything that is metered: as it is, and after a round trip."""

from __future__ import annotations

from hashlib import sha1
from typing import Any

import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.urls import path

from billing_site.sandbox import SandboxView
from billing_site.urls import handler400, handler403, handler404, handler500
from billing_site.urls import urlpatterns as site

_unmetered = SandboxView.as_view()
_redis = redis.Redis.from_url(settings.REDIS_URL)
LEAST = "return 1"
LEAST_SHA = sha1(LEAST.encode(), usedforsecurity=False).hexdigest()


def after_a_round_trip(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
    """The least that any limit in Redis costs: a bare EVALSHA by redis-py."""
    _redis.evalsha(LEAST_SHA, 1, "key")
    return _unmetered(request, **kwargs)


urlpatterns = [path("unmetered", _unmetered), path("round-trip", after_a_round_trip), *site]

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]
