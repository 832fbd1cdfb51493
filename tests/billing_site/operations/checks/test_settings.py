"""Start-up checks: silent where all is well, and an id, a reason and a hint for what would break a law."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings as site_settings

from tests.billing_site.operations.checks.said import said_of_settings


def test_the_sites_own_settings_are_well() -> None:
    assert said_of_settings() == []


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
def test_a_setting_that_breaks_a_law(settings: Any, name: str, value: Any, expected: str) -> None:
    setattr(settings, name, value)
    assert expected in said_of_settings()


@pytest.mark.parametrize(("wait_ms", "found"), [(0, True), (1, False), (99, False), (100, True), (101, True)])
def test_replicas_are_waited_for_within_the_time_of_a_call(settings: Any, wait_ms: int, found: bool) -> None:
    settings.REDIS_TIMEOUT_MS, settings.REDIS_WAIT_REPLICAS, settings.REDIS_WAIT_MS = 100, 1, wait_ms
    assert ("billing_site.E008" in said_of_settings()) is found


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [("ATOMIC_REQUESTS", True, "billing_site.E004"), ("ENGINE", "django.db.backends.sqlite3", "billing_site.E005")],
)
def test_the_database(monkeypatch: pytest.MonkeyPatch, key: str, value: Any, expected: str) -> None:
    monkeypatch.setitem(site_settings.DATABASES["default"], key, value)
    assert said_of_settings() == [expected]


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
    settings: Any, redis_url: str, cache_url: str, broker_url: str, expected: list[str]
) -> None:
    settings.REDIS_URL, settings.CELERY_BROKER_URL = redis_url, broker_url
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": cache_url}}
    assert said_of_settings() == expected
