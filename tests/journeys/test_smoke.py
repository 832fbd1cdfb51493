"""The smoke tests, run as their users do: they pass, write only when told to, and fail where they should."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from billing_site.local.engines.process import wait_until
from tests.cast import Customer
from tests.effort import long_only
from tests.journeys.server import CHECKOUT, Server, forget_catalogues, running
from usage.drain import drain
from usage.models import UsageLog

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def guarded(django_db_setup: None, django_db_blocker: Any) -> Iterator[Server]:
    with django_db_blocker.unblock():
        database = connection.settings_dict["NAME"]
    with running(database, METRICS_TOKEN="as-long-as-it-is-random") as server:
        yield server


@pytest.fixture
def site(guarded: Server, catalogue: None) -> Server:
    forget_catalogues()
    return guarded


def smoke(base: str, key: str, *arguments: str) -> tuple[int, dict[str, str]]:
    """The exit code, and by check what was said of it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE", "REDIS", "DJANGO"))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.smoke", *arguments],
        cwd=CHECKOUT,
        env=own | {"BASE": base, "KEY": key},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.stderr == "", done.stderr
    return done.returncode, {line[6:19].strip(): line[:4].strip() for line in done.stdout.splitlines()[:-1]}


def test_it_reads_and_changes_nothing(site: Server, bob: Customer) -> None:
    code, said = smoke(site.url, bob.key)
    assert (code, said.pop("https")) == (0, "skip")
    assert set(said.values()) == {"ok"} and len(said) == 12
    drain.drain()
    assert UsageLog.objects.count() == 0


def test_told_to_write_it_tracks_one_call(site: Server, bob: Customer) -> None:
    with ThreadPoolExecutor(1) as beside:
        told = beside.submit(smoke, site.url, bob.key, "--write")
        wait_until(lambda: told.done() or bool(drain.drain().entries), 60, "no call was tracked")
        code, said = told.result()
    assert (code, said["track"]) == (0, "ok")
    (row,) = UsageLog.objects.all()
    assert (row.account_id, row.metadata) == (bob.account, {"smoke": True})


@long_only(20, "the same beside a drain")
def test_it_finds_that_no_drain_runs(site: Server, bob: Customer) -> None:
    code, said = smoke(site.url, bob.key, "--write")
    assert (code, said["track"]) == (1, "FAIL")


def test_it_fails_with_a_key_that_is_none(site: Server, bob: Customer) -> None:
    code, said = smoke(site.url, bob.key + "x")
    assert (code, said["usage"], said["health"]) == (1, "FAIL", "ok")


def test_it_fails_where_metrics_are_open(server: Server, bob: Customer) -> None:
    code, said = smoke(server.url, bob.key)
    assert (code, [name for name, word in said.items() if word == "FAIL"]) == (1, ["metrics"])


def test_it_fails_where_nobody_is() -> None:
    code, said = smoke("http://127.0.0.1:1", "key")
    assert code == 1 and set(said.values()) == {"FAIL", "skip"}
