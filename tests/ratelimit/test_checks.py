"""Redis is as it must be: what a server's settings, its version, its clock and its streams may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from redis import Redis

from billing_site.local.engines import Valkey
from ratelimit.checks import check_redis
from tests.billing_site.operations.checks.said import ids
from tests.ratelimit.cluster import the_cluster
from tests.ratelimit.conftest import connect


@pytest.fixture
def redis_server(private_server: Callable[..., Valkey], settings: Any) -> Valkey:
    """A server of the test's own, as `make run` starts it, that REDIS_URL names."""
    server = private_server(durable=True)
    settings.REDIS_URL = server.url
    return server


def test_the_embedded_server_is_well(redis_server: Valkey) -> None:
    assert check_redis() == []


@pytest.mark.parametrize(
    ("setting", "value", "expected", "says"),
    [
        ("maxmemory-policy", "allkeys-lru", "ratelimit.E001", "evicts keys (maxmemory-policy allkeys-lru)"),
        ("maxmemory-policy", "volatile-ttl", "ratelimit.E001", "evicts keys (maxmemory-policy volatile-ttl)"),
        ("appendonly", "no", "ratelimit.W002", "keeps no append-only file"),
        ("appendfsync", "no", "ratelimit.W003", "(appendfsync no)"),
    ],
)
def test_a_setting_of_the_server(redis_server: Valkey, setting: str, value: str, expected: str, says: str) -> None:
    client = connect(redis_server)
    before = client.config_get(setting)[setting]
    client.config_set(setting, value)
    (found,) = check_redis()
    assert found.id == expected and says in found.msg
    client.config_set(setting, before)
    assert check_redis() == []


def test_a_server_that_forbids_config_is_judged_by_what_it_tells(redis_server: Valkey, settings: Any) -> None:
    connect(redis_server).execute_command("ACL SETUSER default -config")
    assert check_redis() == []


def test_a_server_that_tells_nothing_is_to_be_verified_by_hand(
    redis_server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(redis_server).execute_command("ACL SETUSER default -config")
    real = Redis.info

    def as_a_provider_tells_it(self: Any) -> dict[str, Any]:
        hidden = ("maxmemory_policy", "aof_enabled")
        return {name: value for name, value in real(self).items() if name not in hidden}

    monkeypatch.setattr(Redis, "info", as_a_provider_tells_it)
    found = check_redis()
    assert ids(found) == ["ratelimit.W001", "ratelimit.W002"]
    assert "does not tell whether it keeps an append-only file" in found[1].msg


def test_a_server_that_does_not_say_who_it_is(redis_server: Valkey) -> None:
    connect(redis_server).execute_command("ACL SETUSER default -info")
    assert ids(check_redis()) == ["ratelimit.E006"]


@pytest.mark.parametrize(("version", "found"), [("6.0.16", True), ("6.2.0", False), ("7.0.1", False)])
def test_the_version(redis_server: Valkey, monkeypatch: pytest.MonkeyPatch, version: str, found: bool) -> None:
    real = Redis.info
    monkeypatch.setattr(Redis, "info", lambda self: real(self) | {"redis_version": version})
    assert ids(check_redis()) == (["ratelimit.E002"] if found else [])


def test_a_replica(redis_server: Valkey) -> None:
    connect(redis_server).execute_command("REPLICAOF", "127.0.0.1", "1")
    assert ids(check_redis()) == ["ratelimit.E003"]


@pytest.mark.parametrize(("shard", "found"), [(63, False), (64, True), (1023, True)])
def test_streams_that_no_drain_reads(redis_server: Valkey, shard: int, found: bool) -> None:
    client = connect(redis_server)
    entry = client.xadd(f"{{s{shard:02d}}}:events", {"e": "x"})
    assert ids(check_redis()) == (["ratelimit.E004"] if found else [])
    client.xdel(f"{{s{shard:02d}}}:events", entry)
    assert check_redis() == []


def test_a_wrong_password(redis_server: Valkey) -> None:
    connect(redis_server).config_set("requirepass", "another")
    assert ids(check_redis()) == ["ratelimit.E005"]


def test_nobody_answers(redis_server: Valkey) -> None:
    redis_server.kill()
    assert ids(check_redis()) == ["ratelimit.W004"]


@pytest.mark.parametrize(("off_ms", "found"), [(4_000, False), (6_000, True), (-6_000, True)])
def test_clocks(redis_server: Valkey, monkeypatch: pytest.MonkeyPatch, off_ms: int, found: bool) -> None:
    real = Redis.time

    def off(self: Any) -> tuple[int, int]:
        seconds, microseconds = real(self)
        return seconds + off_ms // 1000, microseconds

    monkeypatch.setattr(Redis, "time", off)
    assert ids(check_redis()) == (["ratelimit.W005"] if found else [])


def test_fewer_replicas_than_are_waited_for(redis_server: Valkey, settings: Any) -> None:
    settings.REDIS_WAIT_REPLICAS = 1
    assert ids(check_redis()) == ["ratelimit.W006"]


def test_every_node_of_a_cluster(settings: Any) -> None:
    cluster = the_cluster()
    cluster.mend()
    settings.REDIS_URL = cluster.url
    assert ids(check_redis()) == ["ratelimit.E007"]
    settings.REDIS_CLUSTER = True
    assert check_redis() == []
    moved = next(shard for shard in range(64) if cluster.owner(shard) is cluster.primary)
    cluster.move(moved, cluster.nodes[0])  # the primary's slots are two ranges now
    with connect(cluster.replica) as replica:
        replica.config_set("maxmemory-policy", "allkeys-lru")
        (message,) = check_redis()
        replica.config_set("maxmemory-policy", "noeviction")
    assert message.id == "ratelimit.E001" and str(cluster.replica.port) in message.msg
