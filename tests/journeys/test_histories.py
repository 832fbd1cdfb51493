"""Laws L1 and L2 in a few of the simulator's histories; `make test-long` runs thousands."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from ratelimit.keys import AccountKeys
from tests.effort import effort
from tests.programs.simulator import laws, operations
from tests.programs.simulator.history import FEATURES, MONTH_END_MS, Failed, History
from tests.programs.simulator.standings import Call
from tests.programs.simulator.world import World, simulated_world

HISTORIES = effort(15, 150)


@pytest.mark.no_cover  # tracing would cost half as much again, and other tests run all of these lines
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("first", [1, 1 + HISTORIES])  # one for each process of the test run
def test_no_history_breaks_a_law(catalogue: None, first: int) -> None:
    admissions = 0
    with simulated_world() as world:
        for seed in range(first, first + HISTORIES):
            try:
                admissions += History(world, seed).run().admissions
            except Failed as failure:
                print("\n".join(world.schedule.trace))
                pytest.fail(f"python -m tests.programs.simulator --histories 1 --seed {seed}\n{failure}")
    assert admissions > HISTORIES, "the histories do nothing"


@pytest.fixture
def world(transactional_db: None, catalogue: None) -> Iterator[World]:
    """A history that is told by the test, of one account that both first processes have asked Redis for."""
    with simulated_world() as world:
        world.begin(Random(1), frozenset(), {world.next_account: 100}, MONTH_END_MS - 10**9)
        for name in ("web 1", "web 2"):
            finish_call(world, name, "risk_score")
        yield world


def start_call(world: World, name: str, feature: str, key: str = "") -> None:
    """It stands before its first step."""
    (account,) = world.truth.quotas
    call = Call(account, feature, FEATURES[feature], key=key)
    world.truth.calls.append(call)
    process = world.process(name)
    world.calling[process] = call
    world.schedule.start(process, lambda: operations.call(process, world.truth, call), 0)


def finish_call(world: World, name: str, feature: str, key: str = "") -> None:
    start_call(world, name, feature, key)
    process = world.process(name)
    while world.busy():
        world.schedule.turn(process, 10**6)
    world.raise_errors()


def broken_laws(world: World) -> list[str]:
    History(world, 1).recover()
    return laws.broken(world.truth, world.clock.now())


@pytest.mark.no_cover
def test_redis_may_charge_late_under_a_key_whose_other_request_it_was_not_told_of(world: World) -> None:
    world.server.hangs = True
    start_call(world, "web 1", "trace_start", "k1")
    while not world.server.travelling:
        world.schedule.turn(world.process("web 1"), 0)
    world.kill("web 1")
    finish_call(world, "web 2", "trace_expand", "k1")
    world.server.hangs = False
    world.server.deliver(0)
    logged = [row[0] for row in world.observer.rows("SELECT feature FROM usage_usagelog WHERE feature LIKE 'trace%%'")]
    assert logged == ["trace_expand"]
    assert world.truth.waiting(*world.truth.quotas)[-1].feature == "trace_start"
    assert broken_laws(world) == []


@pytest.mark.no_cover
def test_redis_must_not_forget_the_key_of_a_request_that_it_was_told_of(world: World) -> None:
    world.server.hangs = True
    finish_call(world, "web 2", "trace_expand", "k1")
    world.server.hangs = False
    web = world.process("web 2")
    world.schedule.finish(web, lambda: operations.recover(web, world.truth), 10**6)
    finish_call(world, "web 2", "risk_score")
    (account,) = world.truth.quotas
    forgotten = list(world.server.own.scan_iter(AccountKeys(account).record("*")))
    assert world.server.own.delete(*forgotten) == 1
    finish_call(world, "web 2", "trace_start", "k1")
    (broken,) = broken_laws(world)
    assert "L2: key k1" in broken


@pytest.mark.no_cover
def test_what_was_meant_for_a_lost_server_never_reaches_the_next_one(world: World) -> None:
    world.server.take_copy()
    world.truth.lose(world.server.replace_by_copy)
    world.server.hangs = True
    finish_call(world, "web 1", "trace_start", "k1")
    assert world.server.travelling == []
