"""Somebody overwrites a key of Redis: PostgreSQL decides its account, the commands mend it, nobody else notices."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.utils import timezone

from billing.models import LimitOverride
from ratelimit import process_state
from tests.cast import Customer
from tests.damage import OF_ACCOUNT, OF_SHARD, damage
from tests.effort import LONG
from tests.usage.histories import admit, sums
from usage.drain import drain
from usage.log.idempotency.key_records import longest_request
from usage.metering import kept_answers, voiding
from usage.models import RedisOutage, SetAsideEntry
from usage.reconciliation.second_charges import void_second_charges
from usage.sync import outage

pytestmark = pytest.mark.django_db
SCORE = "/api/v1/risk/score"
COMMANDS = [("init_redis_keys",), ("reconcile_usage", "--repair")]
HEALED = ("fence", "catalogue")
"""Kinds that the next publication writes anew: they hold nothing that PostgreSQL does not know."""


def by_commands(damages: list[tuple[str, str]]) -> list[tuple[tuple[str, ...], str, str]]:
    """Each with both commands; in a sample with one, in turn."""
    both = [(command, *damage) for damage in damages for command in COMMANDS]
    return both if LONG else [both[2 * at + at % 2] for at in range(len(damages))]


@pytest.fixture
def one_shard(settings: Any) -> None:
    settings.RATELIMIT_SHARDS, settings.WEB_PROCESSES = 1, 1


@pytest.fixture
def damaged(one_shard: None, bob: Customer, carol: Customer) -> Callable[[str, str], bytes]:
    """Damages a key of bob's, who has 7 calls drained, and 2 more waiting, one under a key; carol has one waiting."""
    for _ in range(7):
        admit(bob)
    drain.drain()
    admit(bob)
    assert score(bob, "k").status_code == 200
    admit(carol)
    return lambda kind, what: damage(bob.account, kind, what)


def score(customer: Customer, key: str = "") -> Any:
    return customer.post(SCORE, {}, **({"Idempotency-Key": key} if key else {}))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(("kind", "what"), OF_ACCOUNT)
def test_calls_are_served_charged_and_drained(
    damaged: Any, bob: Customer, carol: Customer, caplog: pytest.LogCaptureFixture, kind: str, what: str
) -> None:
    damaged(kind, what)
    assert [score(bob).status_code for _ in range(3)] == [200] * 3
    assert score(bob, "k").status_code == 200
    assert [score(bob, "new").status_code for _ in range(2)] == [200] * 2
    assert bob.api.get("/api/v1/usage/current").status_code == 200
    assert not outage.breaker.is_open
    assert not RedisOutage.objects.exists()
    assert admit(carol).by_redis
    drain.drain()
    assert drain.backlog() == {}
    assert len(lines(caplog)) <= 2, "a line for the calls, one for the drain"
    assert kind in (*HEALED, "ring_body") or lines(caplog)
    assert all("manage.py" in line for line in lines(caplog))
    # The charge under the key was not drained, so PostgreSQL could not know of it; one of the two is given back.
    void_second_charges(timezone.now() + 2 * longest_request())
    assert sums(bob.account) == {7 * 10 + 10 + 2 + 3 * 2 + 2}
    assert sums(carol.account) == {20}
    assert not SetAsideEntry.objects.exists()


@pytest.mark.parametrize(("command", "kind", "what"), by_commands(OF_ACCOUNT))
def test_the_commands_mend_it(
    damaged: Any, bob: Customer, capsys: Any, kind: str, what: str, command: tuple[str, ...]
) -> None:
    key = damaged(kind, what)
    with pytest.raises(CommandError):
        call_command("reconcile_usage")
    assert key.decode() in capsys.readouterr().out
    score(bob)
    call_command(*command)
    process_state.start_anew()
    assert admit(bob).by_redis
    assert [score(bob, key).status_code for key in ("k", "k", "new")] == [200] * 3
    used = admit(bob).quota.used
    drain.drain()
    assert sums(bob.account) == {used}
    assert admit(bob).quota.used == used + 10
    call_command("reconcile_usage")


@pytest.mark.parametrize(("kind", "what"), OF_SHARD)
def test_of_a_shard_only_its_own_drain_may_suffer(
    bob: Customer, carol: Customer, caplog: pytest.LogCaptureFixture, kind: str, what: str
) -> None:
    for customer in (bob, carol):
        admit(customer)
        drain.drain()
        admit(customer)
    damage(bob.account, kind, what)
    assert [score(bob).status_code for _ in range(3)] == [200] * 3
    assert [score(bob, "k").status_code for _ in range(2)] == [200] * 2
    assert bob.api.get("/api/v1/usage/current").status_code == 200
    assert bob.api.get("/api/v1/usage/logs").status_code == 200
    assert bob.api.get("/metrics").status_code == 200
    assert not outage.breaker.is_open
    assert admit(carol).by_redis
    for _ in range(3):
        drain.drain()
    assert sums(carol.account) == {30}
    assert len(lines(caplog)) <= 2, "a line for the calls, one for the drain"
    assert kind in HEALED or lines(caplog)


@pytest.mark.parametrize(("command", "kind", "what"), by_commands(OF_SHARD))
def test_the_commands_mend_a_shard(
    bob: Customer, carol: Customer, capsys: Any, kind: str, what: str, command: tuple[str, ...]
) -> None:
    for customer in (bob, carol):
        admit(customer)
        drain.drain()
        admit(customer)
    key = damage(bob.account, kind, what)
    with pytest.raises(CommandError):
        call_command("reconcile_usage")
    assert key.decode() in capsys.readouterr().out
    score(bob)
    call_command(*command)
    process_state.start_anew()
    assert admit(bob).by_redis
    used = admit(bob).quota.used
    drain.drain()
    assert sums(bob.account) == {used}
    call_command("reconcile_usage")


def test_what_was_charged_meanwhile_counts_when_redis_judges_again(damaged: Any, bob: Customer) -> None:
    LimitOverride.objects.create(account_id=bob.account, limit="quota", maximum=100)
    damaged("quota", "string")
    assert not admit(bob).by_redis
    call_command("init_redis_keys")
    process_state.start_anew()
    assert not admit(bob).admitted, "70 drained, 12 waiting, 10 without Redis"


@pytest.mark.parametrize(("kind", "what"), [("quota", "list"), ("record", "string")])
def test_what_happens_to_a_charge_after_its_keys_were_damaged(
    damaged: Any, bob: Customer, kind: str, what: str
) -> None:
    failed, served = (admit(bob, idempotency_key=key, fingerprint=b"same") for key in ("failed", "served"))
    tracked = admit(bob, source="track")
    damaged(kind, what)
    kept_answers.keep(served, HttpResponse(b"scored"))
    voiding.void_failed_call(failed)
    voiding.void_tracked_charge(bob.account, UUID(tracked.decision.event), timezone.now())
    drain.drain()
    call_command("reconcile_usage", "--repair")
    process_state.start_anew()
    assert sums(bob.account) == {92}, "82 before, and the one that was served"
    assert admit(bob).quota.used == 102
