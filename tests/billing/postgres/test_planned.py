"""What a first call reads is planned once a connection, and says what is true all the same."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import OperationalError, connection, transaction

from billing.entitlements.facts import read_facts
from billing.models import LimitOverride
from billing.postgres.base import PLANNED_AFTER
from billing.postgres.planned import planned_cursor
from tests.cast import Customer

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2031, 3, 14, tzinfo=UTC)
KEPT = "SELECT statement, generic_plans + custom_plans FROM pg_prepared_statements WHERE NOT from_sql"


def kept() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(KEPT)
        return dict(cursor.fetchall())


def ask(text: str, times: int) -> None:
    for number in range(times):
        with planned_cursor() as cursor:
            cursor.execute(text, [number])
            assert cursor.fetchone() == (number,)


def test_a_statement_is_kept_once_it_has_run_often() -> None:
    connection.close()
    text = "SELECT %s::bigint"
    ask(text, PLANNED_AFTER)
    assert kept() == {}
    ask(text, 3)
    assert kept() == {"SELECT $1::bigint": 3}


def test_no_other_statement_is_kept(bob: Customer) -> None:
    connection.close()
    for _ in range(2 * PLANNED_AFTER):
        assert LimitOverride.objects.filter(account=bob.user).first() is None
        with connection.cursor() as cursor:
            cursor.execute("SELECT %s::bigint", [1])
    assert kept() == {}


def test_a_poolers_site_keeps_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "prepare_threshold", None)
    connection.close()
    ask("SELECT %s::bigint", 2 * PLANNED_AFTER)
    assert kept() == {}
    connection.close()


def test_facts_are_those_of_the_moment(bob: Customer, carol: Customer) -> None:
    connection.close()
    for _ in range(PLANNED_AFTER + 1):
        assert read_facts(bob.account, NOW).overrides == ()
    assert len(kept()) == 1
    LimitOverride.objects.create(account=bob.user, limit="quota", maximum=7)
    assert [override.maximum for override in read_facts(bob.account, NOW).overrides] == [7]
    assert read_facts(carol.account, NOW).account == carol.account
    bob.user.is_active = False
    bob.user.save()
    assert not read_facts(bob.account, NOW).active


def test_a_column_more_and_a_rollback_make_no_difference(bob: Customer) -> None:
    """A migration that adds something, while processes of the former release are at work."""
    connection.close()
    for _ in range(PLANNED_AFTER + 1):
        read_facts(bob.account, NOW)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE billing_plan ADD COLUMN of_a_later_release integer")
        assert read_facts(bob.account, NOW).plan == "starter"
        transaction.set_rollback(True)
    assert read_facts(bob.account, NOW).plan == "starter"


def test_a_connection_that_was_cut_takes_what_it_kept_with_it(bob: Customer) -> None:
    connection.close()
    for _ in range(PLANNED_AFTER + 1):
        read_facts(bob.account, NOW)
    with pytest.raises(OperationalError), planned_cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    connection.close()
    assert read_facts(bob.account, NOW).plan == "starter"
    assert kept() == {}
