"""manage.py drain_usage, once and following, as real processes where signals and outages are the point."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from billing.catalogue import in_memory
from ratelimit.keys import shard_of, stream
from ratelimit.store import client
from tests.billing.waiting import until
from tests.cast import Customer
from tests.usage.histories import charge
from usage.drain import batch, drain
from usage.drain.batch import Drained
from usage.management.commands.drain_usage import Summary, next_pause
from usage.metering.admit import admit
from usage.metering.call import ChargeRequest
from usage.models import SetAsideEntry, UsageLog

CHECKOUT = Path(__file__).parents[3]
pytestmark = pytest.mark.django_db(transaction=True)


def spend(customer: Customer) -> None:
    charge = ChargeRequest(in_memory.catalogue().features["trace_start"])
    assert admit(customer.caller, lambda _: charge).admitted


@pytest.fixture
def follower() -> Iterator[subprocess.Popen[str]]:
    database = connection.settings_dict["NAME"]
    environment = os.environ | {
        "DATABASE_URL": urlunsplit(urlsplit(settings.DATABASE_URL)._replace(path=f"/{database}")),
        "REDIS_URL": settings.REDIS_URL,
        "DJANGO_SETTINGS_MODULE": "billing_site.settings",
    }
    process = subprocess.Popen(
        [sys.executable, "manage.py", "drain_usage", "--follow"],
        cwd=CHECKOUT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_once_says_what_it_did(bob: Customer) -> None:
    spend(bob)
    client().xadd(stream(shard_of(bob.account)), {"e": "nonsense"})
    out = StringIO()
    call_command("drain_usage", stdout=out)
    assert out.getvalue() == "2 events drained, 1 set aside\n"
    assert (UsageLog.objects.count(), SetAsideEntry.objects.count(), drain.backlog()) == (1, 1, {})


def test_entries_set_aside_are_tried_again(bob: Customer) -> None:
    readable = charge(bob.account)
    for number, payload in enumerate((readable.encode(), b"nonsense")):
        SetAsideEntry.objects.create(shard=0, stream_id=f"{readable.at_ms}-{number}", payload=payload, error="?")
    assert said_by("--retry-set-aside") == "1 entries counted, 1 cannot be read and stay set aside\n"
    assert said_by("--retry-set-aside") == "0 entries counted, 1 cannot be read and stay set aside\n"
    assert (UsageLog.objects.count(), SetAsideEntry.objects.count()) == (1, 1)
    with pytest.raises(CommandError, match="not allowed with"):
        said_by("--follow", "--retry-set-aside")


def said_by(*arguments: str) -> str:
    out = StringIO()
    call_command("drain_usage", *arguments, stdout=out)
    return out.getvalue()


def test_following_it_goes_on_until_it_is_told_to_stop(bob: Customer, follower: subprocess.Popen[str]) -> None:
    spend(bob)
    until(lambda: UsageLog.objects.count() == 1)
    spend(bob)
    until(lambda: UsageLog.objects.count() == 2)
    follower.send_signal(signal.SIGTERM)
    _, errors = follower.communicate(timeout=30)
    # The run's own engines keep nothing, to be fast, and the start-up checks say so.
    said = [line for line in errors.splitlines() if " ratelimit.checks " not in line]
    assert follower.returncode == 0
    assert [line.partition(" - ")[2] for line in said] == ["the drain follows 64 streams"]


def test_a_busy_minute_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    at = [0.0]
    with caplog.at_level("INFO"):
        summary = Summary(lambda: at[0])
        for at[0], entries in ((1, 10), (30, 0), (59, 20), (61, 5), (90, 0), (130, 0), (191, 0)):
            summary.add(Drained(entries))
    assert caplog.messages == ["35 events drained in 61 s, 0.6 a second, in 3 passes, 0 set aside"]


def test_a_drain_without_work_looks_less_often_and_a_busy_one_at_once() -> None:
    pauses = [0.0]
    for _ in range(5):
        pauses.append(next_pause(pauses[-1], 0))
    assert pauses[1:] == [0.2, 0.4, 0.8, 1.0, 1.0]
    assert next_pause(1.0, 1) == 0.2
    assert next_pause(0.2, batch.BATCH - 1) == 0.2
    assert next_pause(0.2, batch.BATCH) == 0.0
