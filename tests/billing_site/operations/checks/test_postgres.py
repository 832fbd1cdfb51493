"""PostgreSQL is as it must be for what it has committed to count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from billing_site.operations.checks import postgres
from tests.billing_site.operations.checks.said import ids
from tests.outages import lose_postgres

__all__ = ["lose_postgres"]  # a fixture


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
        assert ids(list(postgres.check_postgres())) == expected

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
        assert ids(list(postgres._faults_of_postgres(*facts))) == expected

    def test_nobody_answers(self, lose_postgres: Callable[[], None]) -> None:
        lose_postgres()
        assert ids(list(postgres.check_postgres())) == ["billing_site.W010"]
