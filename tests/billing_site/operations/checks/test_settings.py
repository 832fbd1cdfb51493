"""Start-up checks: silent where all is well, and an id, a reason and a hint for what would break a law."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as site_settings
from django.core.checks import CheckMessage, Tags, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from redis import Redis

from billing_site.local.engines import Valkey
from billing_site.operations.checks import settings as checks
from ratelimit.checks import ENGINES, check_redis, report_engines
from tests.outages import lose_postgres
from tests.ratelimit.cluster import the_cluster
from tests.ratelimit.conftest import connect, private_server

__all__ = ["lose_postgres", "private_server"]  # fixtures
CHECKOUT = Path(__file__).resolve().parents[4]
Start = Callable[..., Valkey]


def ids(messages: list[CheckMessage]) -> list[str]:
    assert all(message.msg and message.hint for message in messages)
    return [str(message.id) for message in messages]


class TestSettings:
    def found(self) -> list[str]:
        return ids(run_checks(tags=[checks.ENFORCEMENT]))

    def test_views_are_told_the_callers_user(self, settings: Any) -> None:
        django = "django.contrib.auth.middleware.AuthenticationMiddleware"
        settings.MIDDLEWARE = [django if name == checks.CALLERS_USER else name for name in settings.MIDDLEWARE]
        assert self.found() == ["billing_site.E016"]

    def test_the_sites_own_settings_are_well(self) -> None:
        assert self.found() == []

    @pytest.mark.parametrize("times", [0, 2])
    def test_the_gateway_stands_once(self, settings: Any, times: int) -> None:
        others = [name for name in settings.MIDDLEWARE if name != checks.GATEWAY]
        settings.MIDDLEWARE = [checks.GATEWAY] * times + others
        assert self.found() == ["billing_site.E001"]

    @pytest.mark.parametrize("position", range(len(site_settings.MIDDLEWARE)))
    def test_the_gateway_stands_before_all_of_djangos(self, settings: Any, position: int) -> None:
        others = [name for name in settings.MIDDLEWARE if name != checks.GATEWAY]
        settings.MIDDLEWARE = [*others[:position], checks.GATEWAY, *others[position:]]
        assert self.found() == (["billing_site.E002"] if position > 1 else [])

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("USE_TZ", False, "billing_site.E003"),
            ("TIME_ZONE", "Europe/Berlin", "billing_site.E003"),
            ("CELERY_TIMEZONE", "Europe/Berlin", "billing_site.E003"),
            ("RATELIMIT_CLOCK", "process", "billing_site.W001"),
            ("WHEN_REDIS_IS_DOWN", "fall back", "billing_site.E006"),
            ("REDIS_TIMEOUT_MS", 0, "billing_site.E007"),
            ("REDIS_WAIT_REPLICAS", -1, "billing_site.E007"),
            ("RATELIMIT_SHARDS", 0, "billing_site.E007"),
        ],
    )
    def test_a_setting_that_breaks_a_law(self, settings: Any, name: str, value: Any, expected: str) -> None:
        setattr(settings, name, value)
        assert expected in self.found()

    @pytest.mark.parametrize(("wait_ms", "found"), [(0, True), (1, False), (99, False), (100, True), (101, True)])
    def test_replicas_are_waited_for_within_the_time_of_a_call(self, settings: Any, wait_ms: int, found: bool) -> None:
        settings.REDIS_TIMEOUT_MS, settings.REDIS_WAIT_REPLICAS, settings.REDIS_WAIT_MS = 100, 1, wait_ms
        assert ("billing_site.E008" in self.found()) is found

    @pytest.mark.parametrize(
        ("key", "value", "expected"),
        [("ATOMIC_REQUESTS", True, "billing_site.E004"), ("ENGINE", "django.db.backends.sqlite3", "billing_site.E005")],
    )
    def test_the_database(self, monkeypatch: pytest.MonkeyPatch, key: str, value: Any, expected: str) -> None:
        monkeypatch.setitem(site_settings.DATABASES["default"], key, value)
        assert self.found() == [expected]

    @pytest.mark.parametrize(
        ("redis_url", "cache_url", "broker_url", "expected"),
        [
            ("redis://one:6379/0", "redis://one", "redis://one/2", ["billing_site.E009"]),
            ("redis://one:6379/0", "rediss://:secret@one/0", "amqp://one", ["billing_site.E009"]),
            ("redis://one:6379/0", "redis://one/1", "redis://one/0", ["billing_site.W002"]),
            ("redis://one:6379/0", "redis://one:6380/0", "redis://two/0", []),
            ("unix:///run/r.sock?db=0", "unix:///run/r.sock?db=0", "amqp://one", ["billing_site.E009"]),
            ("unix:///run/r.sock?db=0", "redis://one", "redis+socket:///run/r.sock", ["billing_site.W002"]),
            ("unix:///run/r.sock?db=0", "redis://one", "redis+socket:///run/r.sock?virtual_host=2", []),
        ],
    )
    def test_who_shares_the_counters_database(
        self, settings: Any, redis_url: str, cache_url: str, broker_url: str, expected: list[str]
    ) -> None:
        settings.REDIS_URL, settings.CELERY_BROKER_URL = redis_url, broker_url
        settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": cache_url}}
        assert self.found() == expected


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"METRICS_TOKEN": ""}, ["billing_site.W003"]),
        ({"SANDBOX": True}, ["billing_site.W004"]),
        ({"BEHIND_PROXY": False}, ["billing_site.W005"]),
        ({"BEHIND_PROXY": False, "CLIENT_ADDRESS_HEADER": ""}, ["billing_site.W005"]),
        ({"CLIENT_ADDRESS_HEADER": ""}, ["billing_site.W006"]),
        ({"EMAIL_BACKEND": "billing.mails.mailbox.Mailbox"}, ["billing_site.W007"]),
        ({"SITE_URL": "http://localhost:8000"}, ["billing_site.W007"]),
        ({"DEFAULT_FROM_EMAIL": "Us <us@localhost>"}, ["billing_site.W007"]),
    ],
)
def test_a_deployment_is_warned_of_what_is_open(settings: Any, changed: dict[str, Any], expected: list[str]) -> None:
    closed = {"METRICS_TOKEN": "t", "SANDBOX": False, "BEHIND_PROXY": True, "CLIENT_ADDRESS_HEADER": "X-Real-IP"}
    closed |= {"EMAIL_BACKEND": "a.Backend", "DEFAULT_FROM_EMAIL": "us@a.example", "SITE_URL": "https://a.example"}
    for name, value in (closed | changed).items():
        setattr(settings, name, value)
    found = run_checks(tags=[Tags.security], include_deployment_checks=True)
    assert ids([message for message in found if str(message.id).startswith("billing_site")]) == expected


@pytest.fixture
def redis_server(private_server: Start, settings: Any) -> Valkey:
    """A server of the test's own, as `make run` starts it, that REDIS_URL names."""
    server = private_server(durable=True)
    settings.REDIS_URL = server.url
    return server


class TestRedis:
    def test_the_embedded_server_is_well(self, redis_server: Valkey) -> None:
        assert check_redis() == []

    @pytest.mark.parametrize(
        ("setting", "value", "expected"),
        [
            ("maxmemory-policy", "allkeys-lru", "ratelimit.E001"),
            ("maxmemory-policy", "volatile-ttl", "ratelimit.E001"),
            ("appendonly", "no", "ratelimit.W002"),
            ("appendfsync", "no", "ratelimit.W003"),
        ],
    )
    def test_a_setting_of_the_server(self, redis_server: Valkey, setting: str, value: str, expected: str) -> None:
        client = connect(redis_server)
        before = client.config_get(setting)[setting]
        client.config_set(setting, value)
        assert ids(check_redis()) == [expected]
        client.config_set(setting, before)
        assert check_redis() == []

    def test_a_server_that_forbids_config_is_judged_by_what_it_tells(self, redis_server: Valkey, settings: Any) -> None:
        connect(redis_server).execute_command("ACL SETUSER default -config")
        assert check_redis() == []

    def test_a_server_that_tells_nothing_is_to_be_verified_by_hand(
        self, redis_server: Valkey, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect(redis_server).execute_command("ACL SETUSER default -config")
        real = Redis.info

        def as_a_provider_tells_it(self: Any) -> dict[str, Any]:
            hidden = ("maxmemory_policy", "aof_enabled")
            return {name: value for name, value in real(self).items() if name not in hidden}

        monkeypatch.setattr(Redis, "info", as_a_provider_tells_it)
        assert ids(check_redis()) == ["ratelimit.W001", "ratelimit.W002"]

    def test_a_server_that_does_not_say_who_it_is(self, redis_server: Valkey) -> None:
        connect(redis_server).execute_command("ACL SETUSER default -info")
        assert ids(check_redis()) == ["ratelimit.E006"]

    @pytest.mark.parametrize(("version", "found"), [("6.0.16", True), ("6.2.0", False), ("7.0.1", False)])
    def test_the_version(
        self, redis_server: Valkey, monkeypatch: pytest.MonkeyPatch, version: str, found: bool
    ) -> None:
        real = Redis.info
        monkeypatch.setattr(Redis, "info", lambda self: real(self) | {"redis_version": version})
        assert ids(check_redis()) == (["ratelimit.E002"] if found else [])

    def test_a_replica(self, redis_server: Valkey) -> None:
        connect(redis_server).execute_command("REPLICAOF", "127.0.0.1", "1")
        assert ids(check_redis()) == ["ratelimit.E003"]

    @pytest.mark.parametrize(("shard", "found"), [(63, False), (64, True), (1023, True)])
    def test_streams_that_no_drain_reads(self, redis_server: Valkey, shard: int, found: bool) -> None:
        client = connect(redis_server)
        entry = client.xadd(f"{{s{shard:02d}}}:events", {"e": "x"})
        assert ids(check_redis()) == (["ratelimit.E004"] if found else [])
        client.xdel(f"{{s{shard:02d}}}:events", entry)
        assert check_redis() == []

    def test_a_wrong_password(self, redis_server: Valkey) -> None:
        connect(redis_server).config_set("requirepass", "another")
        assert ids(check_redis()) == ["ratelimit.E005"]

    def test_nobody_answers(self, redis_server: Valkey) -> None:
        redis_server.kill()
        assert ids(check_redis()) == ["ratelimit.W004"]

    @pytest.mark.parametrize(("off_ms", "found"), [(4_000, False), (6_000, True), (-6_000, True)])
    def test_clocks(self, redis_server: Valkey, monkeypatch: pytest.MonkeyPatch, off_ms: int, found: bool) -> None:
        real = Redis.time

        def off(self: Any) -> tuple[int, int]:
            seconds, microseconds = real(self)
            return seconds + off_ms // 1000, microseconds

        monkeypatch.setattr(Redis, "time", off)
        assert ids(check_redis()) == (["ratelimit.W005"] if found else [])

    def test_fewer_replicas_than_are_waited_for(self, redis_server: Valkey, settings: Any) -> None:
        settings.REDIS_WAIT_REPLICAS = 1
        assert ids(check_redis()) == ["ratelimit.W006"]

    def test_every_node_of_a_cluster(self, settings: Any) -> None:
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


@pytest.mark.django_db
class TestPostgres:
    """The test run's own server does not keep what it commits, to be fast: E013 is true of it."""

    @pytest.mark.parametrize(
        ("statement", "expected"),
        [
            ("SET TIME ZONE 'UTC'", ["billing_site.E013"]),
            ("SET TIME ZONE 'Europe/Berlin'", ["billing_site.E011", "billing_site.E013"]),
        ],
    )
    def test_a_setting_of_the_session(self, statement: str, expected: list[str]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)
        assert ids(list(checks.check_postgres())) == expected

    @pytest.mark.parametrize(
        ("facts", "expected"),
        [
            (("UTC", "read committed", "on", "on", "on", False), []),
            (("UTC", "read committed", "remote_apply", "on", "on", False), []),
            (("UTC", "read committed", "off", "on", "on", False), ["billing_site.E013"]),
            (("UTC", "read committed", "on", "off", "on", False), ["billing_site.E013"]),
            (("UTC", "read committed", "on", "on", "off", False), ["billing_site.E013"]),
            (("UTC", "serializable", "on", "on", "on", False), ["billing_site.E012"]),
            (("UTC", "read committed", "on", "on", "on", True), ["billing_site.E010"]),
        ],
    )
    def test_what_it_may_say(self, facts: tuple[Any, ...], expected: list[str]) -> None:
        assert ids(list(checks._faults_of_postgres(*facts))) == expected

    def test_nobody_answers(self, lose_postgres: Callable[[], None]) -> None:
        lose_postgres()
        assert ids(list(checks.check_postgres())) == ["billing_site.W010"]


class TestStart:
    def test_wrong_settings_end_a_web_process(self, settings: Any) -> None:
        settings.MIDDLEWARE = []
        with pytest.raises(ImproperlyConfigured, match=r"billing_site\.E001"):
            checks.at_start()

    def test_an_engines_faults_are_logged_and_stop_nothing(
        self, redis_server: Valkey, caplog: pytest.LogCaptureFixture, lose_postgres: Callable[[], None]
    ) -> None:
        lose_postgres()
        connect(redis_server).config_set("maxmemory-policy", "allkeys-lru")
        with caplog.at_level(logging.WARNING, "ratelimit.checks"):
            report_engines().join()
        found = {(record.levelname, record.getMessage().split()[0]) for record in caplog.records}
        assert found == {("ERROR", "ratelimit.E001"), ("WARNING", "billing_site.W010")}

    @pytest.mark.parametrize(
        ("arguments", "code"), [(["check"], 0), (["check", "--deploy", "--tag", ENGINES, "--fail-level", "WARNING"], 1)]
    )
    def test_only_a_deployment_asks_the_engines(self, arguments: list[str], code: int) -> None:
        nowhere = {
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "SECRET_KEY": "tests",
            "DJANGO_SETTINGS_MODULE": "billing_site.settings",
        }
        argv = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(argv, cwd=CHECKOUT, env=os.environ | nowhere, capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert ("ratelimit.W004" in done.stderr, "billing_site.W010" in done.stderr) == (code == 1, code == 1)
