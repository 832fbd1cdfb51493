"""Instants read from PostgreSQL are those that Django's own loader reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DataError, connection
from hypothesis import given
from hypothesis import strategies as st

from billing.postgres.base import UtcLoader
from tests.effort import examples

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
instants = st.timedeltas(timedelta(days=-1999 * 365), timedelta(days=7999 * 365)).map(lambda passed: EPOCH + passed)


def _read(expression: str, *params: object) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {expression}", params)
        (value,) = cursor.fetchone() or (None,)
        return value


@pytest.mark.django_db
class TestUtcLoader:
    def test_it_reads_the_columns_of_a_query(self) -> None:
        with connection.cursor() as cursor:
            assert isinstance(cursor.connection.adapters.get_loader(1184, 0), type(UtcLoader))
            assert cursor.adapters.get_loader(1184, 0) is UtcLoader

    @examples(50, 500)
    @given(at=instants)
    def test_what_was_written_is_read_to_the_microsecond_in_utc(self, at: datetime) -> None:
        read = _read("%s::timestamptz", at)
        assert read == at
        assert read.tzinfo is UTC

    def test_an_instant_of_another_zone_is_the_same_instant(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL TIME ZONE 'Asia/Kolkata'")
        read = _read("'2026-11-28 10:00:00.5+00'::timestamptz")
        assert read == datetime(2026, 11, 28, 10, 0, 0, 500000, tzinfo=UTC)
        assert read.utcoffset() in (timedelta(0), timedelta(hours=5, minutes=30))

    @pytest.mark.parametrize(
        "beyond", ["infinity", "-infinity", "0044-03-15 12:00:00+00 BC", "10000-01-01 00:00:00+00"]
    )
    def test_what_python_has_no_date_for_is_an_error(self, beyond: str) -> None:
        with pytest.raises(DataError):
            _read("%s::timestamptz", beyond)
