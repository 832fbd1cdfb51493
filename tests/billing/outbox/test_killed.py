"""Law L10 under kill -9: real dispatcher processes, killed at every point there is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings

from billing.models import OutboxCursor
from tests.billing.outbox.taking import ALICE, BOB, happened
from tests.billing.subscriptions.test_renewal_concurrency import _test_database
from tests.billing.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def process(*argv: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    given = {"DATABASE_URL": _test_database(), "DJANGO_SETTINGS_MODULE": "billing_site.settings", "SECRET_KEY": "tests"}
    running = subprocess.Popen(
        [sys.executable, *argv],
        env=os.environ | given | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=settings.BASE_DIR,
    )
    try:
        with running:
            yield running
    finally:
        running.kill()


def test_killed_at_any_point_each_consumer_gets_each_message_in_order() -> None:
    with process("-m", "tests.billing.outbox.kill_walk") as walk:
        output, errors = walk.communicate(timeout=60)
    assert walk.returncode == 0, errors
    points = [json.loads(line) for line in output.splitlines()]
    assert [point["killed"] for point in points] == [True] * (len(points) - 1) + [False]
    assert len(points) > 30, "too few points were walked"
    assert {len(point["calls"]) for point in points} == {6, 7}  # three messages to two consumers, one of them twice
    for number, point in enumerate(points, start=1):
        for account in {account for account, _ in point["recorded"]}:
            recorded = [message for owner, message in point["recorded"] if owner == account]
            for consumer in ("log", "mail"):
                got = [message for name, owner, message in point["calls"] if (name, owner) == (consumer, account)]
                assert got == sorted(got), f"point {number}"
                assert sorted(set(got)) == recorded, f"point {number}"


FOLLOW = """
import os, threading
import django
from django.conf import settings
django.setup()
settings.OUTBOX_CONSUMERS = {"test": "__main__.consume"}
def consume(message):
    with open(os.environ["TOOK"], "a") as took:
        print(message.payload["period"], file=took)
    if os.environ.get("HANG") == str(message.payload["period"]):
        threading.Event().wait()
from django.core.management import call_command
call_command("dispatch_outbox", "--follow")
"""


def test_the_command_is_killed_in_a_call_and_another_one_takes_over(tmp_path: Path) -> None:
    took = tmp_path / "took"
    took.touch()
    happened(ALICE, 1, 2, 3)
    environment = {"TOOK": str(took), "OUTBOX_LEASE_SECONDS": "1"}
    with process("-c", FOLLOW, HANG="2", **environment) as first:
        until(lambda: took.read_text().split() == ["1", "2"])
        first.send_signal(signal.SIGKILL)
    with process("-c", FOLLOW, **environment) as second:
        until(lambda: took.read_text().split() == ["1", "2", "2", "3"])
        happened(BOB, 4)
        until(lambda: took.read_text().split()[4:] == ["4"])
        until(lambda: not OutboxCursor.objects.waiting().exists())
        second.send_signal(signal.SIGTERM)
        assert second.wait(timeout=60) == 0
