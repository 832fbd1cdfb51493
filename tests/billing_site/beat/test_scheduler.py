"""Beat runs in a checkout in which `make run` never ran, and wakes a worker for what happened elsewhere."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery.beat import Service
from django.conf import settings
from django.db import connection
from django.db.models import F

from billing.models import OutboxCursor
from billing_site.celery import BEAT_SCHEDULE, app
from tests.billing.outbox.taking import ALICE, happened
from tests.billing.waiting import until
from tests.journeys.server import CHECKOUT, environment


def test_beat_makes_the_folder_of_its_file(tmp_path: Path) -> None:
    kept = tmp_path / "not there" / "beat-schedule"
    scheduler = Service(app, scheduler_cls=app.conf.beat_scheduler, schedule_filename=str(kept)).scheduler
    try:
        assert set(BEAT_SCHEDULE) <= set(scheduler.schedule)
        assert list(kept.parent.iterdir())
    finally:
        scheduler.close()


@contextmanager
def celery(*argv: str, log: Path) -> Iterator[None]:
    """One of the site's two Celery processes, on this test's engines."""
    command = [sys.executable, "-m", "celery", "--app", "billing_site", *argv, "--loglevel", "INFO"]
    with log.open("wb") as output:
        own = environment(connection.settings_dict["NAME"])
        process = subprocess.Popen(command, cwd=CHECKOUT, env=own, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()


@pytest.mark.django_db(transaction=True)
def test_beat_and_a_worker_bring_what_happened_to_its_consumers(tmp_path: Path) -> None:
    def taken() -> list[str]:
        return sorted(OutboxCursor.objects.filter(delivered=F("latest")).values_list("consumer", flat=True))

    beat = ("beat", "--schedule", str(tmp_path / "beat-schedule"), "--pidfile", "")
    with celery("worker", "--pool", "threads", log=tmp_path / "worker"), celery(*beat, log=tmp_path / "beat"):
        happened(ALICE, 1)
        until(lambda: taken() == sorted(settings.OUTBOX_CONSUMERS))
    assert "billing.tasks.every_second" in (tmp_path / "worker").read_text()
