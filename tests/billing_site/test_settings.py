"""The settings' own rules."""

import pytest

from billing_site.local.engines.places import as_broker, with_database


@pytest.mark.parametrize(
    ("url", "cache", "broker"),
    [
        ("unix:///tmp/x/v.sock?db=0", "unix:///tmp/x/v.sock?db=1", "redis+socket:///tmp/x/v.sock?virtual_host=2"),
        ("redis://:pw@host:6379/0", "redis://:pw@host:6379/1", "redis://:pw@host:6379/2"),
        ("rediss://host", "rediss://host/1", "rediss://host/2"),
    ],
)
def test_cache_and_broker_are_other_databases_of_the_same_server(url: str, cache: str, broker: str) -> None:
    assert with_database(url, 1) == cache
    assert as_broker(url, 2) == broker


def test_both_engines_answer(db: None) -> None:
    from django.core.cache import cache
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        assert int(cursor.fetchone()[0]) >= 140000
    cache.set("k", 1)
    assert cache.get("k") == 1
