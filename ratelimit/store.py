"""The process' ways to Redis, as the settings name it: the scripts' own, and an ordinary client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException, RedisError, ResponseError
from redis.retry import Retry

from ratelimit.servers.cluster import Cluster
from ratelimit.servers.replicas import Replicas
from ratelimit.servers.single import CANNOT_SERVE, OF_A_CLUSTER, RedisUnreachable, SingleServer, Store, code_of


@contextmanager
def reaching_redis() -> Iterator[None]:
    """What an ordinary client raises when Redis is out of reach, or cannot serve, as RedisUnreachable.

    Any other error reply is about what was asked, and is raised as it is: redis' ResponseError.
    """
    try:
        yield
    except (RedisError, RedisClusterException, OSError) as error:
        if is_about_a_key(error):
            raise
        raise RedisUnreachable(str(error)) from error


def is_about_a_key(error: Exception) -> bool:
    """Whether it is an error reply that tells of what was asked, not of the server."""
    return isinstance(error, ResponseError) and code_of(error) not in CANNOT_SERVE | OF_A_CLUSTER


@cache
def store() -> Store:
    """The process' way to the enforcement Redis, as the settings name it."""
    waited_for = settings.REDIS_WAIT_REPLICAS
    replicas = Replicas(waited_for, settings.REDIS_WAIT_MS) if waited_for else None
    kind = Cluster if settings.REDIS_CLUSTER else SingleServer
    return kind(settings.REDIS_URL, settings.REDIS_TIMEOUT_MS / 1000, replicas)


@cache
def client() -> redis.Redis | RedisCluster:
    """An ordinary client for work off the request path: the drain, health, maintenance."""
    options: dict[str, Any] = {"protocol": 2, "socket_timeout": 5, "socket_connect_timeout": 2}
    if settings.REDIS_CLUSTER:
        return RedisCluster.from_url(settings.REDIS_URL, **options)
    return redis.Redis.from_url(settings.REDIS_URL, retry=Retry(NoBackoff(), 0), **options)
