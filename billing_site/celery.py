"""The Celery app, and what beat does by the clock. What it does when there is work for it is in `beat.lookout`."""

import os
from datetime import timedelta
from typing import TypedDict

from celery import Celery
from celery.schedules import crontab
from celery.signals import beat_embedded_init, beat_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_site.settings")


class Entry(TypedDict, total=False):
    """One line of the schedule: a task's dotted name, and when it runs (in UTC)."""

    task: str
    schedule: timedelta | crontab
    options: dict[str, object]


# name -> {"task": "billing.tasks.apply_due_changes", "schedule": timedelta(minutes=1), "options": {"expires": 55}}.
# Give every entry an `expires` not longer than its interval, so that a worker that was away does not
# find a heap of the same task.
BEAT_SCHEDULE: dict[str, Entry] = {
    "apply-due-changes": {
        "task": "billing.tasks.apply_due_changes",
        "schedule": timedelta(minutes=1),
        "options": {"expires": 55},
    },
    "finish-erasures": {
        "task": "billing.tasks.finish_erasures",
        "schedule": timedelta(minutes=5),
        "options": {"expires": 290},
    },
    "announce-ending-trials": {
        "task": "billing.tasks.announce_ending_trials",
        "schedule": timedelta(minutes=5),
        "options": {"expires": 295},
    },
    "charge-cards": {
        "task": "billing.tasks.charge_cards",
        "schedule": timedelta(minutes=1),
        "options": {"expires": 55},
    },
    "purge-stored-answers": {
        "task": "billing.tasks.purge_stored_answers",
        "schedule": timedelta(hours=1),
        "options": {"expires": 3000},
    },
    "purge-idempotency-records": {
        "task": "usage.tasks.purge_receipts",
        "schedule": timedelta(hours=1),
        "options": {"expires": 3000},
    },
    "void-second-charges": {
        "task": "usage.tasks.void_second_charges",
        "schedule": timedelta(minutes=1),
        "options": {"expires": 60},
    },
    "purge-webhooks": {
        "task": "billing.tasks.purge_webhooks",
        "schedule": crontab(hour=3, minute=15),
        "options": {"expires": 3600},
    },
    "purge-outbox": {
        "task": "billing.tasks.purge_outbox",
        "schedule": timedelta(hours=1),
        "options": {"expires": 3000},
    },
    "poll-provider-events": {
        "task": "billing.tasks.poll_provider_events",
        "schedule": timedelta(minutes=10),
        "options": {"expires": 590},
    },
    "note-beat": {
        "task": "billing_site.tasks.note_beat",
        "schedule": timedelta(seconds=10),
        "options": {"expires": 10},
    },
    "make-partitions": {
        "task": "usage.tasks.make_partitions",
        "schedule": crontab(hour=2, minute=15),
        "options": {"expires": 3600},
    },
    "purge-received-events": {
        "task": "usage.tasks.purge_received_events",
        "schedule": crontab(hour=3, minute=30),
        "options": {"expires": 3600},
    },
    "retire-partitions": {
        "task": "usage.tasks.retire_partitions",
        "schedule": crontab(hour=2, minute=45),
        "options": {"expires": 3600},
    },
    "reconcile-usage": {
        "task": "usage.tasks.reconcile_usage",
        "schedule": crontab(hour=4, minute=15),
        "options": {"expires": 3600},
    },
}

app = Celery("billing_site")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.beat_schedule = BEAT_SCHEDULE
app.autodiscover_tasks()


@beat_init.connect
@beat_embedded_init.connect  # `celery worker -B`
def look_for_work(**_: object) -> None:
    """Begin once beat's own process is ready: before, Django is not."""
    from billing_site.beat.lookout import Lookout

    Lookout().start()
