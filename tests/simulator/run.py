"""Runs histories one after the other and says what it found."""

from __future__ import annotations

import time

from tests.simulator.history import Failed, History
from tests.simulator.world import simulated_world


def run(seed: int, histories: int) -> int:
    began = time.monotonic()
    with simulated_world() as world:
        for number in range(seed, seed + histories):
            history = History(world, number)
            try:
                history.run()
            except Failed as failure:
                print("\n".join(world.schedule.trace))
                print(f"seed {number}, faults {sorted(history.faults)}: {failure}")
                return 1
    print(f"{histories} histories in {time.monotonic() - began:.1f} s")
    return 0
