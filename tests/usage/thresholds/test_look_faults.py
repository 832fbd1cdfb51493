"""Looking again after a kill, an outage, a failure or a fact that changed meanwhile: told once, and not missed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from billing.models import LimitOverride
from tests.cast import Customer, call
from tests.outages import no_redis
from tests.usage.thresholds.looking import SOME, is_marked, look, spend, told
from tests.usage.without_redis import redis_is_back
from usage.drain import batch, drain
from usage.models import WindowUsage
from usage.thresholds import look as looking
from usage.thresholds import own

pytestmark = pytest.mark.django_db


def test_calls_that_redis_charged_are_told_after_the_drain(bob: Customer) -> None:
    for _ in range(25):
        assert call(bob, "trace_start").admitted
    assert look() == 0
    drain.drain()
    look()
    spend(bob, 150)
    look()
    drain.drain()
    assert told(bob) == [SOME[80]]


def test_a_drain_that_is_killed_before_it_acknowledges_tells_nothing_twice(
    bob: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.add(bob.account, 2, timezone.now())
    call(bob, "trace_start")
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):

        def die(*_: Any) -> None:
            raise KeyboardInterrupt

        killed.setattr(batch, "_acknowledge", die)
        drain.drain()
    look()
    drain.drain()
    look()
    assert told(bob) == [("included", 500, 2)]


@pytest.mark.django_db(transaction=True)
def test_calls_without_redis_are_told_while_it_is_gone_and_not_again(bob: Customer, settings: Any) -> None:
    settings.WEB_PROCESSES = 1
    spend(bob, 395)
    look()
    with no_redis(settings):
        assert call(bob, "trace_start").admitted
        look()
    redis_is_back()
    drain.drain()
    look()
    assert told(bob) == [SOME[80]]


def test_an_account_that_cannot_be_looked_at_holds_up_no_other(
    bob: Customer, alice: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = looking._present

    def fail_on_bob(account: int, *args: Any) -> Any:
        if account == bob.account:
            raise ValueError("no such facts")
        return present(account, *args)

    spend(bob, 400)
    spend(alice, 80)
    with monkeypatch.context() as patched:
        patched.setattr(looking, "_present", fail_on_bob)
        assert look() == 1
    assert look(timezone.now() + timedelta(minutes=2)) == 1
    assert told(bob) == [SOME[80]]


def test_a_fact_that_changes_meanwhile_is_looked_at_again(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    spend(bob, 400)
    present = looking._present

    def then_raise_the_limit(*args: Any) -> Any:
        read = present(*args)
        LimitOverride(account=bob.user, limit="quota", maximum=1_000).save()
        return read

    with monkeypatch.context() as patched:
        patched.setattr(looking, "_present", then_raise_the_limit)
        assert not looking.look(bob.account, WindowUsage.objects.get().starts_at, timezone.now())
    assert is_marked(bob)
    assert look() == 0, "40 % of 1,000"


@pytest.mark.django_db(transaction=True)
def test_eight_that_look_at_once_tell_it_once(bob: Customer) -> None:
    spend(bob, 450)

    def beat(_: int) -> int:
        try:
            return looking.look_at_marked(timezone.now, 60)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(beat, range(8))) == 1
    assert told(bob) == [SOME[80]]
