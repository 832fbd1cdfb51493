"""Beat runs in a checkout in which `make run` never ran."""

from __future__ import annotations

from pathlib import Path

from celery.beat import Service

from billing_site.celery import BEAT_SCHEDULE, app


def test_beat_makes_the_folder_of_its_file(tmp_path: Path) -> None:
    kept = tmp_path / "not there" / "beat-schedule"
    scheduler = Service(app, scheduler_cls=app.conf.beat_scheduler, schedule_filename=str(kept)).scheduler
    try:
        assert set(BEAT_SCHEDULE) <= set(scheduler.schedule)
        assert list(kept.parent.iterdir())
    finally:
        scheduler.close()
