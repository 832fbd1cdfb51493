"""The hot path where Redis is 0.3 ms away, as in a cloud: a process on the other core, where Redis runs as well, holds
back what goes there and what comes. The client has a core to itself. Read as the hot path above.
"""

from __future__ import annotations

from tests.programs.bench import Row, at_most
from tests.programs.bench.contestants import contestants
from tests.programs.bench.hot_path import BARE, FLOOR, GATEWAY, PEERS
from tests.programs.bench.rounds import measure, timing
from tests.programs.bench.stage import say

TITLE = "Hot path, Redis further away"
LINES = FLOOR | BARE | {"gateway": GATEWAY} | {name: PEERS[name] for name in ("limits-fixed", "rest-throttle")}


def run(*, quick: bool) -> list[Row]:
    rounds = 10 if quick else 60
    say(f"{rounds} rounds")
    every = contestants()
    medians = measure({name: every[name] for name in LINES}, rounds, 100)
    found = {
        name: timing(medians[name], None if line.than is None else medians[line.than]) for name, line in LINES.items()
    }
    rows = [
        Row(line.text, found[name].us, "µs", note=found[name].spread)
        for name, line in LINES.items()
        if name != "gateway"
    ]
    ours = found["gateway"]
    goals = [("evalsha", 1.0, "the bare EVALSHA"), ("rest-throttle", 0.7, "the REST framework throttle")]
    return rows + [
        at_most(GATEWAY.text, ours.us, "µs", times=times, of=found[peer].us, what=what, note=ours.spread)
        for peer, times, what in goals
    ]
