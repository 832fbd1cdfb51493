"""Runs histories one after the other and says what it found."""

from __future__ import annotations

from tests.programs.simulator.history import Failed, History
from tests.programs.simulator.world import simulated_world


def run(seed: int, histories: int) -> int:
    """0, or 1 after the first history that breaks a law: all its steps, and the seed that repeats them."""
    with simulated_world() as world:
        for number in range(seed, seed + histories):
            history = History(world, number)
            try:
                history.run()
            except Failed as failure:
                print("\n".join(world.schedule.trace))
                print(f"faults: {sorted(history.faults)}")
                print(f"{failure}")
                print(f"again: python -m tests.programs.simulator --histories 1 --seed {number}", flush=True)
                return 1
    return 0
