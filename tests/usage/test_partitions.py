"""The log's monthly partitions: ahead of time, on the spot, and by two drains at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest
from django.db import connection, connections, transaction

from usage import partitions


def months(*texts: str) -> list[datetime]:
    return [datetime.fromisoformat(f"{text}T00:00:00+00:00") for text in texts]


@pytest.fixture
def drop() -> Callable[..., None]:
    """Takes partitions away; tables outlive a test that commits."""

    def away(*names: str) -> None:
        with connection.cursor() as cursor:
            for name in names:
                cursor.execute(f"DROP TABLE IF EXISTS {name}")

    return away


@pytest.mark.django_db
def test_each_month_is_made_once() -> None:
    first, second = "usage_usagelog_2041_02", "usage_usagelog_2041_03"
    assert partitions.ensure(months("2041-02-28", "2041-02-01")) == [first]
    assert partitions.ensure(months("2041-02-01", "2041-03-31")) == [second]
    assert partitions.ensure(months("2041-02-01", "2041-03-31")) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("instant", "table"),
    [
        ("2041-12-31T23:59:59.999999+00:00", "usage_usagelog_2041_12"),
        ("2042-01-01T00:00:00+00:00", "usage_usagelog_2042_01"),
        ("2042-01-01T01:00:00+02:00", "usage_usagelog_2041_12"),
        ("1970-01-01T00:00:00+00:00", "usage_usagelog_1970_01"),
    ],
)
def test_months_are_those_of_utc(instant: str, table: str) -> None:
    assert partitions.ensure([datetime.fromisoformat(instant)]) == [table]


@pytest.mark.django_db
def test_the_coming_months_are_made_ahead() -> None:
    made = partitions.ensure_ahead(datetime(2041, 11, 30, 23, 59, tzinfo=UTC))
    assert made == [f"usage_usagelog_{month}" for month in ("2041_11", "2041_12", "2042_01", "2042_02")]


@pytest.mark.django_db
def test_a_partition_is_guarded_and_keyed_like_its_parent() -> None:
    partitions.ensure(months("2041-05-01"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = 'usage_usagelog_2041_05'::regclass")
        assert ("append_only",) in cursor.fetchall()
        cursor.execute("SELECT count(*) FROM pg_index WHERE indrelid = 'usage_usagelog_2041_05'::regclass")
        assert cursor.fetchone() == (2,)


@pytest.mark.django_db(transaction=True)
def test_two_drains_that_meet_a_new_month_make_it_once(drop: Callable[..., None]) -> None:
    drop("usage_usagelog_2041_07", "usage_usagelog_2041_08")
    start = Barrier(6)

    def drain(_: int) -> list[str]:
        try:
            connection.ensure_connection()
            start.wait()
            with transaction.atomic():
                return partitions.ensure(months("2041-07-01", "2041-08-01"))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as threads:
        made = sorted(threads.map(drain, range(6)))
    assert made == [[]] * 5 + [["usage_usagelog_2041_07", "usage_usagelog_2041_08"]]
    drop("usage_usagelog_2041_07", "usage_usagelog_2041_08")
