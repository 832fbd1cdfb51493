"""The cache's way to its Redis, which nobody waits for once it has failed: what is cached can be done without."""

from __future__ import annotations

from typing import Any

import redis
from django.conf import settings
from django.core.cache import cache
from redis.exceptions import ConnectionError, TimeoutError

from ratelimit.breaker import Breaker

UNREACHABLE = (ConnectionError, TimeoutError, OSError)


class CacheRedis(redis.Redis):
    """django-redis' client; its errors are ignored by the cache, which then knows nothing (IGNORE_EXCEPTIONS)."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if breaker.is_open:
            raise ConnectionError("the cache's circuit is open")
        try:
            return self.ask_all_the_same(*args, **options)
        except UNREACHABLE as error:
            breaker.trip(error)
            raise

    def pipeline(self, *args: Any, **options: Any) -> Any:
        if breaker.is_open:
            raise ConnectionError("the cache's circuit is open")
        return super().pipeline(*args, **options)

    def ask_all_the_same(self, *args: Any, **options: Any) -> Any:
        """Whether the circuit is open or not."""
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


def _probe() -> None:
    cache.client.get_client().ask_all_the_same("PING")  # type: ignore[attr-defined]


breaker = Breaker(_probe, lambda: None, settings.REDIS_PROBE_MS / 1000, name="The cache")
