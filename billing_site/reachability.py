"""Can the engines be reached; and if not, what to do, in one line."""

from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.db import OperationalError, connection

HINT = "start the embedded one with `make run`, or set"


def unreachable() -> str | None:
    """Which engine does not answer and how to start one; None when both answer."""
    if not _postgres_answers():
        where = f"on {settings.DATABASES['default']['HOST']}" if not settings.EMBEDDED_POSTGRES else "here"
        return f"no PostgreSQL answers {where}: {HINT} DATABASE_URL"
    if not _redis_answers():
        where = f"on {_without_password(settings.REDIS_URL)}" if not settings.EMBEDDED_REDIS else "here"
        return f"no Redis answers {where}: {HINT} REDIS_URL"
    return None


def _postgres_answers() -> bool:
    probe = connection.copy()  # the caller's own may be in the middle of something
    try:
        probe.ensure_connection()
    except OperationalError:
        return False
    finally:
        probe.close()
    return True


def _redis_answers() -> bool:
    client = redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2, socket_timeout=2)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path
