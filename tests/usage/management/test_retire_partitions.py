"""manage.py retire_partitions and restore_partition, beat's task, and the API when a month has left."""

from __future__ import annotations

import logging
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from freezegun import freeze_time

from billing_site.celery import BEAT_SCHEDULE
from tests.cast import Customer
from tests.usage.histories import charge
from tests.usage.log.months import test_retention
from tests.usage.log.months.test_retention import FEBRUARY, JANUARY, NOW, at_ms, tables
from usage.log import store
from usage.log.months import retention
from usage.tasks import retire_partitions

pytestmark = pytest.mark.django_db(transaction=True)
folder, january = test_retention.folder, test_retention.january


def answer(command: str, *arguments: Any) -> str:
    out = StringIO()
    with freeze_time(NOW):
        call_command(command, *arguments, stdout=out)
    return out.getvalue()


def test_a_dry_run_changes_nothing(january: Any, folder: Path) -> None:
    first, last = answer("retire_partitions", "--dry-run", "--drop").splitlines()
    assert first.startswith(f"2004-01  {JANUARY}, 0.")
    assert first.endswith(" MB: export and detach, then drop")
    assert last == "1 months would be retired"
    assert (tables(), folder.exists()) == ({JANUARY: "attached", FEBRUARY: "attached"}, False)


def test_it_says_what_it_did_and_then_finds_nothing_to_do(january: Any, folder: Path) -> None:
    done = f"2004-01  3 rows, 10 tokens, exported to {folder}/{JANUARY}.csv.gz; "
    assert answer("retire_partitions") == f"{done}kept beside the log as {JANUARY}\n1 months retired\n"
    assert answer("retire_partitions") == "0 months retired\n"
    assert answer("retire_partitions", "--dry-run", "--drop").endswith("then drop\n1 months would be retired\n")
    assert answer("retire_partitions", "--drop") == f"{done}dropped\n1 months retired\n"


def test_what_hinders_it_is_said(january: Any, settings: Any) -> None:
    settings.USAGE_LOG_EXPORTS = Path("/proc/none")
    with pytest.raises(CommandError, match="2004-01 stays: cannot export to /proc/none"):
        answer("retire_partitions")


def test_another_run_is_said(january: Any) -> None:
    with retention._alone(), pytest.raises(CommandError, match="nothing was done"):
        test_retention.in_a_thread(lambda: answer("retire_partitions"))


def test_a_month_comes_back_to_be_read(january: Any, folder: Path) -> None:
    answer("retire_partitions", "--drop")
    file = folder / f"{JANUARY}.csv.gz"
    table = f"{JANUARY}_restored"
    assert answer("restore_partition", file) == f"3 rows in the table {table}; drop it when you have read it\n"
    with pytest.raises(CommandError, match="exists already"):
        answer("restore_partition", file)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {table}")
    assert tables() == {FEBRUARY: "attached"}
    with pytest.raises(CommandError, match=r"cannot read .*none\.csv\.gz"):
        answer("restore_partition", folder / "none.csv.gz")


class TestBeat:
    @pytest.mark.parametrize(("drop", "left"), [(False, {JANUARY: "detached"}), (True, {})])
    def test_every_night(self, january: Any, settings: Any, drop: bool, left: dict[str, str]) -> None:
        settings.USAGE_LOG_DROP = drop
        with freeze_time(NOW):
            retire_partitions()
        assert tables() == {**left, FEBRUARY: "attached"}
        scheduled = [entry for entry in BEAT_SCHEDULE.values() if entry["task"] == retire_partitions.name]
        assert [entry["options"] for entry in scheduled] == [{"expires": 3600}]

    def test_what_hinders_it_is_logged(self, january: Any, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
        settings.USAGE_LOG_EXPORTS = Path("/proc/none")
        with freeze_time(NOW), caplog.at_level(logging.ERROR, "usage.tasks"):
            retire_partitions()
        assert "2004-01 stays" in caplog.text


def test_customers_see_their_days_and_what_is_left_of_their_log(bob: Customer) -> None:
    for day in ("2004-01-31", "2004-02-01"):
        store.store([charge(bob.account, at_ms=at_ms(day))])
    answer("retire_partitions", "--drop")
    days = bob.api.get("/api/v1/usage/history?from=2004-01-31&to=2004-02-01").json()
    assert [day["tokens"] for day in days] == [10, 10]
    page = bob.api.get("/api/v1/usage/logs?from=2004-01-01&to=2004-03-01").json()
    assert [row["created_at"][:10] for row in page["results"]] == ["2004-02-01"]


def test_a_charge_of_a_month_that_has_left_is_not_found_to_be_voided(dave: Customer) -> None:
    event = charge(dave.account, at_ms=at_ms("2004-01-31"))
    store.store([event])
    answer("retire_partitions")
    assert dave.api.delete(f"/api/v1/usage/events/{event.charge}").status_code == 404
