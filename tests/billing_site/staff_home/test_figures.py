"""Figures of the staff's home are kept: a worker reads them anew, and whoever looks where it did not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.models import Invoice
from billing_site.staff_home import figures
from billing_site.tasks import read_staff_figures
from tests.billing.ledger import pay_in_full
from tests.cast import Customer

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("catalogue")]
NOW = timezone.now()
MUCH_LATER = NOW + timedelta(days=1)


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    cache.delete_many([figures.KEY, figures.LOOKED_AT_KEY])
    yield
    cache.delete_many([figures.KEY, figures.LOOKED_AT_KEY])


def test_who_looks_first_reads_them_and_nobody_after() -> None:
    assert figures.figures(NOW).read_at == NOW
    with CaptureQueriesContext(connection) as asked:
        assert figures.figures(MUCH_LATER).read_at == NOW
    assert len(asked) == 0


def test_a_worker_reads_them_anew(bob: Customer) -> None:
    before = figures.figures(timezone.now())
    pay_in_full(Invoice.objects.get(account=bob.account), timezone.now())
    assert figures.figures(timezone.now()) == before
    read_staff_figures()
    after = figures.figures(timezone.now())
    assert after.read_at > before.read_at
    assert (before.month.paid, after.month.paid, after.month.due) == ({}, {"USD": 29}, {})


def test_while_no_worker_does_they_are_kept_for_three_minutes() -> None:
    figures.figures(NOW)
    seconds = cache.ttl(figures.KEY)  # type: ignore[attr-defined]
    assert 170 < seconds <= 180
    cache.delete(figures.KEY)
    assert figures.figures(MUCH_LATER).read_at == MUCH_LATER


def test_they_are_wanted_for_three_days_after_the_last_look() -> None:
    assert not figures.are_wanted()
    figures.read_anew(NOW)
    assert not figures.are_wanted(), "a worker's reading is no look"
    figures.figures(NOW)
    assert figures.are_wanted()
    cache.touch(figures.LOOKED_AT_KEY, 60)
    figures.figures(NOW)
    assert cache.ttl(figures.LOOKED_AT_KEY) > 3 * 86_400 - 60  # type: ignore[attr-defined]


def test_without_a_cache_they_are_read_each_time(settings: Any) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    assert [figures.figures(at).read_at for at in (NOW, MUCH_LATER)] == [NOW, MUCH_LATER]
    assert not figures.are_wanted(), "nobody could keep what a worker reads"
