"""Erasures at the same moment, beside who writes for the account, and killed on their way."""

from __future__ import annotations

import signal
import threading

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from billing.erasure import deletion, erase
from billing.models import Erasure, LimitOverride, OutboxMessage
from billing.subscriptions import changes
from billing.tasks import finish_erasures
from tests.billing.subscriptions.period_end.test_renewal_concurrency import at_once
from tests.billing.waiting import somebody_waits_for_a_row, until
from tests.cast import Customer
from tests.processes import process
from tests.usage.traces import MARK, told_of

pytestmark = pytest.mark.django_db(transaction=True)
ERASER = """
import os
import django
django.setup()
from django.utils import timezone
from billing.erasure import deletion, erase
from tests.processes import at_statements, killing_at
with at_statements(killing_at(int(os.environ["KILLED_AT"]))):
    erase.erase(int(os.environ["ACCOUNT"]), timezone.now())
"""


def test_several_at_once(zyxwina: Customer) -> None:
    answers = at_once(*[lambda: erase.erase(zyxwina.account, timezone.now())] * 4)
    assert all(isinstance(answer, Erasure) for answer in answers), answers
    assert told_of(MARK) == []
    assert OutboxMessage.objects.filter(kind="account.erased").count() == Erasure.objects.count()
    assert OutboxMessage.objects.filter(kind="subscription.ended").count() == 1


@pytest.mark.parametrize("work", ["erase", "delete"])
def test_who_writes_at_that_moment_is_waited_for(alice: Customer, work: str) -> None:
    """Whoever writes for an account holds its subscription, and then takes the user and the fence."""
    now, has_it = timezone.now(), threading.Event()

    def write() -> None:
        with transaction.atomic():
            changes.locked(alice.account, now)
            has_it.set()
            until(somebody_waits_for_a_row)
            LimitOverride(account=alice.user, limit="minute", maximum=5).save()

    def end() -> None:
        has_it.wait()
        if work == "erase":
            erase.erase(alice.account, now)
        else:
            deletion.delete_user(User.objects.get(pk=alice.account))

    assert at_once(write, end) == [None, None]
    assert not User.objects.filter(username="alice").exists()


def test_killed_at_points_all_along_it_is_finished(zyxwina: Customer) -> None:
    killed = 0
    for point in (3, 17, 34, 48, 61, 77, 91, 10_000):
        given = {"ACCOUNT": str(zyxwina.account), "KILLED_AT": str(point), "REDIS_URL": str(settings.REDIS_URL)}
        with process("-c", ERASER, **given) as running:
            _, errors = running.communicate(timeout=60)
        if running.returncode == 0:
            break
        assert running.returncode == -signal.SIGKILL, errors
        killed += 1
        if Erasure.objects.exclude(finished_at=None).exists():
            break  # killed as it told of it: another run would be another erasure
    assert killed >= 4
    finish_erasures()
    assert told_of(MARK) == []
    assert OutboxMessage.objects.filter(kind="account.erased").count() == Erasure.objects.count() == 1
    assert OutboxMessage.objects.filter(kind="subscription.ended").count() == 1
