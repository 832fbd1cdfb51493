"""What was used of a window before an instant: by the log, which is brought up to now first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from billing.rules.periods import month_window
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.outages import no_redis
from tests.top_ups import use
from usage.drain import drain
from usage.metering.reset import reset_usage
from usage.reports.used_until import used_until

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2031, 3, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def ask(customer: Customer, *hours: float) -> tuple[list[int], bool]:
    instants = [NOON + hour * HOUR for hour in hours]
    known, is_complete = used_until(customer.account, month_window(NOON), instants)
    assert list(known) == instants[::-1]
    return [known[instant] for instant in instants], is_complete


def test_each_instant_has_what_came_before_it(bob: Customer) -> None:
    with moved_by_hand("2031-03-05T12:00:00Z") as clock:
        assert ask(bob, 0, 1) == ([0, 0], True)
        for _ in range(3):
            use(bob, 10)
            clock.tick(HOUR)
        assert ask(bob, 0, 0.5, 1, 2, 2.5, 9) == ([0, 10, 10, 20, 30, 30], True)
        clock.move_to("2031-04-01T00:00:00Z")
        use(bob, 10)
        assert ask(bob, 9) == ([30], True), "another window is not this one's"


def test_what_was_given_back_counts_as_not_used(bob: Customer) -> None:
    with moved_by_hand("2031-03-05T12:00:00Z") as clock:
        use(bob, 20)
        clock.tick(HOUR)
        reset_usage(bob.account, timezone.now(), reason="a bug", by="sue")
        assert ask(bob, 0, 0.5, 1, 2) == ([0, 0, 0, 0], True)
        clock.tick(HOUR)
        use(bob, 10)
        assert ask(bob, 0.5, 1, 2, 3) == ([0, 0, 0, 10], True)


def test_it_says_when_something_may_be_missing(bob: Customer, settings: Any) -> None:
    with moved_by_hand("2031-03-05T12:00:00Z"):
        use(bob, 20)
        drain.drain()
        use(bob, 10)
        with no_redis(settings):
            assert ask(bob, 1) == ([20], False)
        with transaction.atomic():
            assert ask(bob, 1) == ([20], False)


def test_a_drain_that_is_behind(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    def behind(*_: Any) -> bool:
        raise drain.Behind

    monkeypatch.setattr(drain, "catch_up", behind)
    assert ask(bob, 1) == ([0], False)
