"""For how long events are known: longer than they would be taken."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.usage.histories import sums
from tests.usage.ingest.reporting import reported
from usage import tasks
from usage.ingest import received
from usage.ingest.record import ingest
from usage.ingest.reported import Reason
from usage.models import ReceivedEvent

pytestmark = pytest.mark.django_db


def test_each_as_long_as_it_would_ever_be_taken(bob: Customer, settings: Any) -> None:
    """One of a clock that was ahead is known for five minutes more."""
    settings.LATE_EVENT_DAYS = 90
    days = timedelta(days=settings.LATE_EVENT_DAYS)
    with moved_by_hand() as clock:
        ahead = reported(bob.account, timezone.now() + timedelta(minutes=5))
        assert ingest([ahead], "", timezone.now()).accepted == 1
        clock.tick(days)
        tasks.purge_received_events()
        assert ingest([ahead], "", timezone.now()).duplicates == 1
        clock.tick(timedelta(minutes=5, seconds=1))
        tasks.purge_received_events()
        assert ingest([ahead], "", timezone.now()).duplicates == 1
        clock.tick(timedelta(days=1))
        tasks.purge_received_events()
        assert not ReceivedEvent.objects.exists()
        assert ingest([ahead], "", timezone.now()).rejected == {0: Reason.TOO_OLD}


def test_also_where_later_ones_are_taken_from_now_on(bob: Customer, settings: Any) -> None:
    with moved_by_hand() as clock:
        early = reported(bob.account, timezone.now())
        assert ingest([early], "", timezone.now()).accepted == 1
        clock.tick(timedelta(days=60))
        tasks.purge_received_events()
        settings.LATE_EVENT_DAYS = 90
        assert ingest([early], "", timezone.now()).duplicates == 1
        assert sums(bob.account) == {10}


def test_some_at_a_time(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(received, "PURGED_AT_ONCE", 2)
    now = timezone.now()
    ingest([reported(bob.account, now) for _ in range(5)], "", now)
    assert received.purge(now + timedelta(days=90)) == 0
    assert received.purge(now + timedelta(days=92)) == 5
