"""A reservation and its settling beside one metered call, all in process: the decision, without Django's request.

In turn, by one process; microseconds, the median of rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from django.contrib.auth import get_user_model
from django.utils import timezone

from billing.entitlements import api_keys
from billing.entitlements.api_keys import Caller
from billing.models import ApiKey, Plan
from billing.subscriptions import opening as subscriptions
from tests.programs.bench import Row, at_most
from tests.programs.bench.stage import say
from usage.metering import admit
from usage.metering.call import ChargeRequest
from usage.metering.reservations import finishing, opening, progress
from usage.metering.reservations.ends import Report
from usage.metering.reservations.opening import Asked

TITLE = "Reservations"
MOST_TIMES = 2.2
CALLS = 100
UNITS = {"input": 1200, "output": 800}


def run(*, quick: bool) -> list[Row]:
    rounds = 15 if quick else 100
    user = get_user_model().objects.create_user("agatha")
    subscriptions.subscribe(user.pk, Plan.objects.get(code="enterprise"), timezone.now())
    _, key = ApiKey.issue(account=user, name="bench", scope="meter")
    caller = Caller(user.pk, key, api_keys.look_up(key))
    ways = {
        "call": lambda: _call(caller),
        "tokens": lambda: _reserve(caller, Asked("ai_agent_query", tokens=9), {"tokens": 4}),
        "units": lambda: _reserve(caller, Asked("ai_agent_query", "m-large", UNITS, run="r-81"), {"input": 9}),
        "beaten": lambda: _reserve(caller, Asked("ai_agent_query", tokens=9), {"tokens": 4}, beat=True),
    }
    say(f"{rounds} rounds of {CALLS}")
    times = _medians(ways, rounds)
    call = times["call"]
    return [
        Row("one metered call", call, "µs"),
        at_most("reserve and settle, in tokens", times["tokens"], "µs", times=MOST_TIMES, of=call, what="one call"),
        at_most("… in units, by a model's price", times["units"], "µs", times=MOST_TIMES, of=call, what="one call"),
        Row("… and one heartbeat", times["beaten"], "µs"),
    ]


def _call(caller: Caller) -> None:
    admit.admit(caller, lambda catalogue: ChargeRequest(catalogue.features["ai_agent_query"]))


def _reserve(caller: Caller, asked: Asked, used: dict[str, int], *, beat: bool = False) -> None:
    now = timezone.now()
    _, held, _ = opening.reserve(caller, asked, now)
    if beat:
        progress.beat(held, used, now)
    finishing.settle(held, Report(used), now)


def _medians(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """In turn, so that a busy moment of the machine strikes all of them."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            for _ in range(CALLS):
                way()
            times[name].append((time.perf_counter() - began) / CALLS * 1e6)
    return {name: median(found) for name, found in times.items()}
