"""Laws L1 and L2 in a few of the simulator's histories; `make chaos` runs thousands (python -m tests.simulator)."""

from __future__ import annotations

import pytest

from tests.simulator.history import Failed, History
from tests.simulator.world import simulated_world

HISTORIES = 120


@pytest.mark.django_db(transaction=True)
def test_no_history_breaks_a_law(catalogue: None) -> None:
    admissions = 0
    with simulated_world() as world:
        for seed in range(1, HISTORIES + 1):
            try:
                admissions += History(world, seed).run().admissions
            except Failed as failure:
                pytest.fail(f"python -m tests.simulator --histories 1 --seed {seed}\n{failure}")
    assert admissions > HISTORIES, "the histories do nothing"
