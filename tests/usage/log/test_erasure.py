"""The usage log is append-only: of whom is erased it lets go of the metadata, in every month, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError
from django.utils import timezone

from billing.erasure import erase
from billing.tasks import finish_erasures
from tests.cast import Customer
from tests.usage.drifting import sql
from tests.usage.histories import charge
from tests.usage.traces import MARK, tables, told_of
from usage.log import store
from usage.log.months import exports, retention
from usage.models import RetiredMonth

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Iterator[None]:
    settings.USAGE_LOG_EXPORTS = tmp_path
    yield
    for table in [table for table in tables() if table.startswith("usage_usagelog_2004")]:
        sql(f"DROP TABLE {table}")


def test_months_beside_the_log_are_emptied_too(alice: Customer) -> None:
    at_ms = round(datetime(2004, 1, 5, tzinfo=UTC).timestamp() * 1000)
    store.store([charge(alice.account, at_ms=at_ms)._replace(metadata={"who": MARK})])
    retention.retire(datetime(2005, 3, 15, tzinfo=UTC), lambda _: None, drop=False)
    exports.read_back(Path(RetiredMonth.objects.get().file))
    assert told_of(MARK) == ["usage_usagelog_2004_01", "usage_usagelog_2004_01_restored"]
    erase.erase(alice.account, timezone.now())
    assert told_of(MARK) == []


@pytest.mark.parametrize(
    "change",
    [
        "tokens = 0",
        "metadata = NULL, tokens = 0",
        """metadata = '{"a": 1}'""",
        "metadata = NULL, account_id = 1",
        "metadata = NULL, key_prefix = 'x'",
    ],
)
def test_nothing_else_is_let_go(alice: Customer, change: str) -> None:
    store.store([charge(alice.account)._replace(metadata={"who": MARK})])
    statement = f"UPDATE usage_usagelog SET {change} WHERE account_id = %s"
    begun = erase.begin(alice.account, timezone.now())
    with pytest.raises(IntegrityError, match="append-only"):
        sql(statement, alice.account)
    with pytest.raises(IntegrityError, match="append-only"):
        sql("DELETE FROM usage_usagelog WHERE account_id = %s", alice.account)
    erase.go_on(begun, timezone.now())


def test_only_while_an_erasure_of_that_account_goes_on(alice: Customer, bob: Customer) -> None:
    for customer in (alice, bob):
        store.store([charge(customer.account)._replace(metadata={"who": MARK})])
    erase.begin(alice.account, timezone.now())
    with pytest.raises(IntegrityError, match="append-only"):
        sql("UPDATE usage_usagelog SET metadata = NULL WHERE account_id = %s", bob.account)
    finish_erasures()
    store.store([charge(alice.account)._replace(metadata={"who": MARK})])
    with pytest.raises(IntegrityError, match="append-only"):
        sql("UPDATE usage_usagelog SET metadata = NULL WHERE account_id = %s", alice.account)
