"""Can the engines be reached; and if not, what to do, in one line."""

from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.db import OperationalError, connection


def unreachable() -> str | None:
    """One line that names the engine that does not answer and says what to do; None when both answer."""
    return unreachable_postgres() or unreachable_redis()


def unreachable_postgres() -> str | None:
    if _postgres_answers():
        return None
    database = settings.DATABASES["default"]
    where, port = database["HOST"] or "its socket", database.get("PORT")
    if port and database["HOST"] and not where.startswith("/"):
        where = f"{where}:{port}"
    return _advice("PostgreSQL", settings.EMBEDDED_POSTGRES, where, "DATABASE_URL")


def unreachable_redis() -> str | None:
    if _redis_answers():
        return None
    return _advice("Redis", settings.EMBEDDED_REDIS, _without_password(settings.REDIS_URL), "REDIS_URL")


def _advice(engine: str, embedded: bool, where: str, variable: str) -> str:
    if embedded:
        return f"no {engine} answers: start the embedded one with `make run`, or set {variable}"
    return f"no {engine} answers on {where}: check {variable}, or unset it and start the embedded one with `make run`"


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
