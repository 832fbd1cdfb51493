"""Agents whose processes are killed at any moment: nothing is charged twice, nothing is lost, nothing stays open."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from datetime import timedelta

import pytest
from django.conf import settings
from django.db.models import Sum
from django.utils import timezone

from billing.models import LimitOverride
from tests.cast import Customer, call
from tests.clock import moved_by_hand
from tests.effort import effort
from tests.processes import process
from tests.usage.metering.reservations.held import counted, nothing_drifts
from usage.drain import drain
from usage.metering.reservations import sweep
from usage.models import Reservation

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.no_cover]
PROCESSES, THREADS = effort(2, 4), effort(4, 16)
QUOTA = 100_000


def agents(stack: ExitStack, customer: Customer) -> list[int]:
    found = []
    for _ in range(PROCESSES):
        words = ("-m", "tests.usage.metering.reservations.lives", str(customer.account), str(THREADS))
        running = stack.enter_context(process(*words, REDIS_URL=settings.REDIS_URL))
        assert running.stdout is not None
        assert running.stdout.readline() == "begun\n"
        found.append(running.pid)
    return found


def test_killed_at_any_moment_the_laws_hold(bob: Customer) -> None:
    LimitOverride.objects.create(account=bob.user, limit="quota", maximum=QUOTA, reason="a test")
    for _ in range(effort(3, 4)):
        before = Reservation.objects.count()
        with ExitStack() as stack:
            running = agents(stack, bob)
            while Reservation.objects.count() < before + effort(60, 400):
                drain.drain()
                for pid in running:
                    assert os.waitpid(pid, os.WNOHANG) == (0, 0), "a law was broken"
            for pid in running:
                os.kill(pid, signal.SIGKILL)
        drain.drain()
        with moved_by_hand((timezone.now() + timedelta(hours=3)).isoformat()):
            while sweep.expire_due(timezone.now()):  # at most so many at once
                drain.drain()
        assert not Reservation.objects.filter(state="open").exists()
        counter, logged = counted(bob)
        charged = Reservation.objects.aggregate(Sum("charged"))["charged__sum"]
        assert (counter, logged) == (charged, charged)
        assert call(bob).quota.used == counter <= QUOTA
        assert nothing_drifts()
