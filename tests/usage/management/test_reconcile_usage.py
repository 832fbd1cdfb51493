"""manage.py reconcile_usage: what it prints, how it ends, and what it says without an engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from ratelimit.keys import shard_of, stream
from ratelimit.store import client
from tests.billing.waiting import until
from tests.cast import Customer
from tests.usage.drifting import quota_key, spend, sql
from tests.usage.histories import admit
from tests.usage.sync.test_shard_locks import waiting_for_a_shard
from usage.drain import drain
from usage.log import store as log_store
from usage.log.months import partitions
from usage.management.commands import reconcile_usage
from usage.sync import shard_locks

pytestmark = pytest.mark.django_db
CHECKOUT = Path(__file__).parents[3]


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def run(*arguments: str, errors: StringIO | None = None) -> list[str]:
    """What it prints, without the seconds it took."""
    out = StringIO()
    call_command("reconcile_usage", *arguments, stdout=out, stderr=errors or StringIO())
    return [line.partition(", in ")[0] for line in out.getvalue().splitlines()]


def failing(*arguments: str) -> tuple[list[str], str]:
    """What it prints, and how it ends."""
    out = StringIO()
    with pytest.raises(CommandError) as failure:
        call_command("reconcile_usage", *arguments, stdout=out, stderr=StringIO())
    return [line.partition(", in ")[0] for line in out.getvalue().splitlines()], str(failure.value)


def test_without_drift_it_says_so(bob: Customer) -> None:
    spend(bob, 2, 1)
    assert run() == run("--all") == run("--repair") == ["1 accounts and 1 windows compared, no drift"]


def test_drift_is_printed_counted_and_an_error_until_it_is_repaired(bob: Customer) -> None:
    spend(bob, 2, 1)
    sql("UPDATE usage_windowusage SET tokens = 99")
    sql("UPDATE usage_dailyusage SET calls = 3")
    client().hset(quota_key(bob), "p", 0)
    says = "log 20, counter 99 at revision 1, features 20, Redis 20 at revision 1 and 0 pending, stream 10"
    month = f"{timezone.now():%Y-%m-01} 00:00"
    drift = [
        f"account {bob.account}, {timezone.now():%Y-%m-%d}, trace_start, daily total: "
        "log 20 tokens in 2 calls, total 20 in 3",
        *(
            f"account {bob.account}, window from {month}, {part}: {says}"
            for part in ("counter", "Redis' counter", "Redis' pending")
        ),
    ]
    summary = (
        "1 accounts and 1 windows compared, 1 accounts drift "
        "(Redis' counter 1, Redis' pending 1, counter 1, daily total 1)"
    )
    lines, end = failing()
    assert lines == [*drift, summary]
    assert end == "1 accounts drift; manage.py reconcile_usage --repair puts it right"
    assert failing() == (lines, end)
    assert run("--repair") == [*drift, f"{summary}, 1 repaired"]
    assert run() == ["1 accounts and 1 windows compared, no drift"]


def test_much_drift_is_cut_short(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile_usage, "MOST_PRINTED", 2)
    spend(bob, 1)
    sql(
        "INSERT INTO usage_featureusage SELECT account_id, starts_at, number::text, 1"
        " FROM usage_windowusage, generate_series(1, 5) AS number"
    )
    lines, _ = failing()
    assert len(lines) == 4
    assert lines[2] == "... and 3 more"


def test_one_account_by_name_or_id(bob: Customer, carol: Customer) -> None:
    spend(bob, 1)
    spend(carol, 1)
    sql("UPDATE usage_windowusage SET tokens = 99 WHERE account_id = %s", carol.account)
    assert run("--account", "bob") == ["1 accounts and 1 windows compared, no drift"]
    for named in ("carol", str(carol.account)):
        assert failing("--account", named)[1].startswith("1 accounts drift")
    assert run("--account", "987654") == ["0 accounts and 0 windows compared, no drift"]
    assert failing("--account", "mallory") == ([], "there is no user mallory")


def test_what_is_not_compared_is_told(bob: Customer) -> None:
    spend(bob, 1)
    event = admit(bob).event
    assert event is not None
    log_store.record_without_redis([event])
    client().xadd(stream(3), {"e": b"nonsense"})
    drain.drain_shards([3])
    partitions.close(timezone.now())
    assert run()[1:] == [
        "1 windows were left out: part of their log has been retired",
        "1 entries are set aside: see the admin, then manage.py drain_usage --retry-set-aside",
    ]


def test_a_counter_that_is_not_told_yet_is_told_as_such(bob: Customer) -> None:
    spend(bob, 1)
    event = admit(bob).event
    assert event is not None
    log_store.record_without_redis([event])
    assert run()[1].startswith("1 windows have a newer counter than Redis")
    assert run("--repair")[1].startswith("1 windows")
    assert len(run()) == 1


def test_a_damaged_key_in_redis_is_one_line(bob: Customer) -> None:
    spend(bob, 1)
    client().hset(quota_key(bob), "l", "ten")
    lines, error = failing()
    assert error == "1 keys of Redis are damaged; manage.py reconcile_usage --repair puts it right"
    assert [line for line in lines if quota_key(bob).decode() in line]


def test_progress_on_a_terminal_only(bob: Customer) -> None:
    spend(bob, 1)
    terminal, silent, file = Terminal(), Terminal(), StringIO()
    run(errors=terminal)
    run("--verbosity", "0", errors=silent)
    run(errors=file)
    assert terminal.getvalue().endswith("1 of 1\n")
    assert (silent.getvalue(), file.getvalue()) == ("", "")


@pytest.mark.django_db(transaction=True)
class TestAsAProcess:
    def test_without_redis_it_is_one_line(self, bob: Customer) -> None:
        done = manage("--repair", REDIS_URL="redis://127.0.0.1:1/0")
        assert done.wait(60) == 1
        assert done.communicate()[1] == (
            "manage.py: no Redis answers on 127.0.0.1:1: "
            "check REDIS_URL, or unset it and start the embedded one with `make run`\n"
        )

    def test_ctrl_c_ends_it_and_lets_the_drain_go_on(self, bob: Customer) -> None:
        spend(bob, 1, 1)
        with shard_locks.draining([shard_of(bob.account)]) as mine:
            assert mine
            waiting = manage("--repair")
            until(waiting_for_a_shard)
            waiting.send_signal(signal.SIGINT)
            assert waiting.communicate(timeout=60)[1] == ""
            assert waiting.returncode == 130
        assert drain.drain().entries == 1


def manage(*arguments: str, **env: str) -> subprocess.Popen[str]:
    database = urlsplit(settings.DATABASE_URL)._replace(path=f"/{connection.settings_dict['NAME']}")
    own = {"DATABASE_URL": urlunsplit(database), "REDIS_URL": settings.REDIS_URL}
    return subprocess.Popen(
        [sys.executable, "manage.py", "reconcile_usage", *arguments],
        cwd=CHECKOUT,
        env=os.environ | own | {"DJANGO_SETTINGS_MODULE": "billing_site.settings"} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
