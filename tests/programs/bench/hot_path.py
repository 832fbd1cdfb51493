"""One process calls the WSGI application in turn with and without each line's work; microseconds, the median of rounds.

Lines of "adds" are the difference to the same view on the same middleware without it, round by round; "spread" is
where the middle half of the rounds lies. Client and engines share one core, so all work on either side is counted.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.programs.bench import Row, at_most, chart
from tests.programs.bench.contestants import contestants
from tests.programs.bench.rounds import Timing, measure, timing
from tests.programs.bench.stage import say

TITLE = "Hot path"
CHART = "hot-path.svg"
LARGEST_AUTHENTICATION_US = 20


class Line(NamedTuple):
    """A contestant's name in the report and what it is compared with; None: its own time is reported."""

    text: str
    than: str | None = None


FLOOR = {
    "raw": Line("one round trip on a raw socket (PING)"),
    "plain": Line("a bare Django view"),
    "rest": Line("a bare REST framework view"),
}
BARE = {
    "evalsha": Line("adds: a bare EVALSHA of `return 1`, redis-py", "plain"),
    "lean-evalsha": Line("adds: the same EVALSHA, the gateway's connection", "plain"),
    "admit-script": Line("adds: an EVALSHA of the admit script, redis-py", "plain"),
    "lean-admit-script": Line("adds: an EVALSHA of the admit script, the gateway's connection", "plain"),
}
GATEWAY = Line("adds: **the whole gateway** (key, both limits, charge, audit)", "plain")
AUTHENTICATION = Line("adds: of that, authentication by key", "plain")
PEERS = {
    "limits-fixed": Line("adds: limits, fixed window", "plain"),
    "limits-moving": Line("adds: limits, moving window", "plain"),
    "django-ratelimit": Line("adds: django-ratelimit", "plain"),
    "smart": Line("adds: django-smart-ratelimit, @ratelimit", "plain"),
    "smart-quota": Line("adds: django-smart-ratelimit, @ratelimit and @quota", "plain"),
    "rest-throttle": Line("adds: REST framework's UserRateThrottle on django-redis", "rest"),
    "rest-token": Line("adds: REST framework's TokenAuthentication alone", "rest"),
    "rest-knox": Line("adds: knox' TokenAuthentication alone", "rest"),
}


def run(*, quick: bool) -> list[Row]:
    rounds = 15 if quick else 150
    say(f"{rounds} rounds")
    medians = measure(contestants(), rounds, 100)
    lines = FLOOR | BARE | PEERS | {"gateway": GATEWAY, "identify": AUTHENTICATION}
    found = {
        name: timing(medians[name], None if line.than is None else medians[line.than]) for name, line in lines.items()
    }
    return [
        *(_row(line, found[name]) for name, line in (FLOOR | BARE).items()),
        *_goals(found),
        *(_row(line, found[name]) for name, line in PEERS.items()),
    ]


def _row(line: Line, found: Timing) -> Row:
    return Row(line.text, found.us, "µs", note=found.spread)


def _goals(found: dict[str, Timing]) -> list[Row]:
    ours, authentication = found["gateway"], found["identify"]
    goals = [
        ("evalsha", 1.35, "the bare EVALSHA"),
        ("rest-throttle", 0.7, "the REST framework throttle"),
        ("smart-quota", 1 / 15, "smart-ratelimit with quota"),
    ]
    rows = [
        at_most(GATEWAY.text, ours.us, "µs", times=times, of=found[peer].us, what=what, note=ours.spread)
        for peer, times, what in goals
    ]
    goal, met = f"≤ {LARGEST_AUTHENTICATION_US} µs", authentication.us <= LARGEST_AUTHENTICATION_US
    return [*rows, Row(AUTHENTICATION.text, authentication.us, "µs", goal, None, met, authentication.spread)]


def draw(rows: list[Row]) -> str:
    bars = {
        row.name.removeprefix("adds: ").replace("*", "").replace("`", ""): row.value
        for row in rows
        if "adds" in row.name
    }
    ours = next(name for name in bars if name.startswith("the whole gateway"))
    return chart.bars("What each adds to a request, in microseconds", bars, ours)
