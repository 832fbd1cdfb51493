"""A forecast of what was really called: read from the sums."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.cast import Customer
from tests.top_ups import ann, clock, top_up, use
from usage.drain import drain
from usage.metering import admit
from usage.reports.forecast import forecast

__all__ = ["ann", "clock"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_it_reads_what_was_called(ann: Customer, clock: Any) -> None:
    use(ann, 40)  # at noon of the fifth of March, four and a half days into the window
    drain.drain()
    found = forecast(ann.account, timezone.now())
    assert found is not None
    assert found.tokens == 40 + 40 * 53 // 9
    assert found.ends_at == datetime(2031, 4, 1, tzinfo=UTC)
    assert found.runs_out_at == datetime(2031, 3, 12, 6, tzinfo=UTC)


def test_what_is_bought_puts_the_end_off(ann: Customer, clock: Any) -> None:
    use(ann, 40)
    top_up(ann, 40, days=None)
    drain.drain()
    admit.standing(ann.account, timezone.now())
    found = forecast(ann.account, timezone.now())
    assert found is not None
    assert found.runs_out_at == datetime(2031, 3, 16, 18, tzinfo=UTC)


def test_it_asks_the_sums_alone_and_twice(ann: Customer, clock: Any) -> None:
    use(ann, 40)
    drain.drain()
    with CaptureQueriesContext(
        connection,
    ) as asked:
        forecast(ann.account, timezone.now())
    assert [("usage_windowusage" in q["sql"], "usage_dailyusage" in q["sql"]) for q in asked] == [
        (True, False),
        (False, True),
    ]


def test_of_an_account_that_has_called_nothing_there_is_none(ann: Customer, clock: Any) -> None:
    assert forecast(ann.account, timezone.now()) is None
