"""Laws L1 and L2 in a few of the simulator's histories; `make test-long` runs thousands."""

from __future__ import annotations

import pytest

from tests.effort import effort
from tests.programs.simulator.history import Failed, History
from tests.programs.simulator.world import simulated_world

HISTORIES = effort(30, 150)


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
                pytest.fail(f"python -m tests.programs.simulator --histories 1 --seed {seed}\n{failure}")
    assert admissions > HISTORIES, "the histories do nothing"
