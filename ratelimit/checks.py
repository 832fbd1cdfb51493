"""What this package needs of its Redis, as Django system checks that ask the server (`manage.py check --deploy`)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import redis
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register, run_checks
from django.db import connections
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisClusterException, RedisError, ResponseError
from redis.retry import Retry

from ratelimit.keys import stream
from ratelimit.scripts import LARGEST_SKEW_MS

logger = logging.getLogger(__name__)
ENGINES = "engines"
"""Tag of the checks that ask an engine: run by `check --deploy`, and at the start of the site and of the drain."""
OLDEST_REDIS = (6, 2)
SHARDS_LOOKED_FOR = 1024
PATIENCE_SECONDS = 2


def report_engines() -> threading.Thread:
    """Log what the checks of the engines find, beside the start of a process, which a lost engine must not hold up."""
    thread = threading.Thread(target=_report, name="engine-checks", daemon=True)
    thread.start()
    return thread


def _report() -> None:
    try:
        for message in run_checks(tags=[ENGINES], include_deployment_checks=True):
            logger.log(message.level, "%s %s HINT: %s", message.id, message.msg, message.hint)
    finally:
        connections.close_all()


@register(ENGINES, deploy=True)
def check_redis(**_: Any) -> list[CheckMessage]:
    """Every server of the enforcement Redis: in a cluster the replicas too, which may be primaries tomorrow."""
    try:
        with _client(settings.REDIS_URL) as named:
            messages: list[CheckMessage] = []
            servers = _nodes(named) if settings.REDIS_CLUSTER else [named]
            for server in servers:
                messages += _of_a_server(server)
            if not any(message.is_serious() for message in messages):
                messages += _of_the_data(named)
    except AuthenticationError as error:
        return [
            Error(
                f"Redis refuses our credentials: {error}",
                hint="Check user and password in REDIS_URL.",
                id="ratelimit.E005",
            )
        ]
    except (RedisError, RedisClusterException, OSError) as error:
        hint = "Start it or check REDIS_URL, then run `manage.py check --deploy`: nothing could be verified."
        return [Warning(f"Redis does not answer: {error}", hint=hint, id="ratelimit.W004")]
    return messages


def facts_of_redis() -> Mapping[str, Any]:
    """What INFO says of the server that REDIS_URL names. Raises RedisError."""
    with _client(settings.REDIS_URL) as named:
        return cast(Mapping[str, Any], named.info())


def _client(url: str, **changed: Any) -> redis.Redis:
    options = {"protocol": 2, "socket_timeout": PATIENCE_SECONDS, "socket_connect_timeout": PATIENCE_SECONDS}
    client = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **options)
    client.connection_pool.connection_kwargs |= changed
    return client


def _nodes(named: redis.Redis) -> Iterator[redis.Redis]:
    ranges = cast(list[Any], named.execute_command("CLUSTER", "SLOTS"))
    # A node is listed once for each range of its slots, and slots that have moved leave several.
    for host, port in dict.fromkeys((host, port) for _, _, *nodes in ranges for host, port, *_ in nodes):
        with _client(settings.REDIS_URL, **({"host": host.decode()} if host else {}), port=port) as node:
            yield node


def _of_a_server(server: redis.Redis) -> list[CheckMessage]:
    options = server.connection_pool.connection_kwargs
    where = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    try:
        facts: Mapping[str, Any] = server.info()
    except ResponseError as error:
        hint = "Allow INFO (the sections server and replication are read by every connection), or ask its provider."
        return [Error(f"Redis at {where} does not let us ask who it is: {error}", hint=hint, id="ratelimit.E006")]
    found = [
        *_version(where, facts),
        *_eviction(where, facts, server),
        *_persistence(where, facts, server),
        *_clock(where, server),
    ]
    return found + ([] if settings.REDIS_CLUSTER else [*_role(where, facts)])


def _version(where: str, facts: Mapping[str, Any]) -> Iterable[CheckMessage]:
    version = str(facts.get("redis_version", "0.0"))
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST_REDIS:
        hint = "Upgrade to Redis 6.2 or Valkey."
        yield Error(f"Redis at {where} is version {version}, older than 6.2.", hint=hint, id="ratelimit.E002")


def _eviction(where: str, facts: Mapping[str, Any], server: redis.Redis) -> Iterable[CheckMessage]:
    policy = facts.get("maxmemory_policy") or _setting(server, "maxmemory-policy")
    if policy is None:
        hint = "See to it that its eviction policy is noeviction: any other one throws counters of quotas away."
        yield Warning(f"Redis at {where} does not tell its eviction policy.", hint=hint, id="ratelimit.W001")
    elif policy != "noeviction":
        yield Error(
            f"Redis at {where} evicts keys (maxmemory-policy {policy}): a customer whose counter is evicted spends"
            " what is not drained twice, and audit events are lost.",
            hint="Set maxmemory-policy noeviction, in its configuration file or parameter group as well.",
            id="ratelimit.E001",
        )


def _persistence(where: str, facts: Mapping[str, Any], server: redis.Redis) -> Iterable[CheckMessage]:
    enabled = facts.get("aof_enabled")
    if enabled is None and (said := _setting(server, "appendonly")) is not None:
        enabled = said == "yes"
    if not enabled:
        state = "does not tell whether it keeps an" if enabled is None else "keeps no"
        yield Warning(
            f"Redis at {where} {state} append-only file: a restart without one loses the charges that are not"
            " drained yet, some tenths of a second of them, and the present minute of every customer.",
            hint="Set appendonly yes (appendfsync everysec), unless that loss is accepted or replicas confirm charges.",
            id="ratelimit.W002",
        )
    elif _setting(server, "appendfsync") == "no":
        yield Warning(
            f"Redis at {where} leaves it to the system when its append-only file is written (appendfsync no): a power"
            " loss may lose half a minute of charges.",
            hint="Set appendfsync everysec.",
            id="ratelimit.W003",
        )


def _setting(server: redis.Redis, name: str) -> str | None:
    """What CONFIG GET says; None where a managed Redis forbids it."""
    try:
        return cast(dict[str, str], server.config_get(name)).get(name)
    except ResponseError:
        return None


def _clock(where: str, server: redis.Redis) -> Iterable[CheckMessage]:
    seconds, microseconds = server.time()
    off_ms = round(time.time() * 1000 - seconds * 1000 - microseconds / 1000)
    if abs(off_ms) > LARGEST_SKEW_MS:
        yield Warning(
            f"This machine's clock is {off_ms} ms ahead of that of Redis at {where}: every call is asked twice.",
            hint="Synchronise the clocks of all machines (NTP).",
            id="ratelimit.W005",
        )


def _role(where: str, facts: Mapping[str, Any]) -> Iterable[CheckMessage]:
    if facts.get("role") == "slave":
        hint = "Let REDIS_URL name the primary."
        yield Error(f"Redis at {where} is a replica: no call can be charged there.", hint=hint, id="ratelimit.E003")
    elif facts.get("cluster_enabled"):
        hint = "Set REDIS_CLUSTER=1, and CACHE_URL and BROKER_URL to servers that are no cluster."
        yield Error(f"Redis at {where} is a node of a cluster.", hint=hint, id="ratelimit.E007")
    elif facts.get("connected_slaves", 0) < settings.REDIS_WAIT_REPLICAS:
        yield Warning(
            f"Redis at {where} has {facts.get('connected_slaves', 0)} replicas and REDIS_WAIT_REPLICAS asks for"
            f" {settings.REDIS_WAIT_REPLICAS}: every call waits REDIS_WAIT_MS in vain.",
            hint="Add replicas, or lower REDIS_WAIT_REPLICAS.",
            id="ratelimit.W006",
        )


def _of_the_data(named: redis.Redis) -> list[CheckMessage]:
    """Streams of shards that no drain reads are what a lowered RATELIMIT_SHARDS leaves behind."""
    present = settings.RATELIMIT_SHARDS
    if settings.REDIS_CLUSTER:
        from ratelimit.store import client

        pipeline: Any = client().pipeline()
    else:
        pipeline = named.pipeline(transaction=False)
    for shard in range(present, max(SHARDS_LOOKED_FOR, present)):
        pipeline.xlen(stream(shard))
    left = [present + n for n, entries in enumerate(pipeline.execute()) if entries]
    if not left:
        return []
    return [
        Error(
            f"Redis holds audit events of shards that no drain reads (RATELIMIT_SHARDS is {present}): {left[:5]} ...",
            hint="Set RATELIMIT_SHARDS back, run `manage.py drain_usage`, change it, run `manage.py init_redis_keys`.",
            id="ratelimit.E004",
        )
    ]
