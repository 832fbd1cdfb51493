"""Law L10 under kill -9: real dispatcher processes, killed at every point there is."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from billing.models import OutboxCursor
from tests.billing.outbox.taking import ALICE, BOB, happened
from tests.billing.waiting import until
from tests.processes import process, walked

pytestmark = pytest.mark.django_db(transaction=True)


def test_killed_at_any_point_each_consumer_gets_each_message_in_order() -> None:
    points = walked("tests.billing.outbox.kill_walk", seconds=60)
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
