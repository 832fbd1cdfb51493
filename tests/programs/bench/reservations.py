"""A reservation and its settling in a view, beside one metered call: what each adds to it.

In turn, by one process; microseconds, the median of rounds. The bare decision of a call stands beside them.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from django.contrib.auth import get_user_model
from django.utils import timezone

from billing.entitlements import callers
from billing.entitlements.callers import Caller
from billing.models import ApiKey, Plan
from billing.subscriptions import opening as subscriptions
from ratelimit.keys import AccountKeys
from ratelimit.store import client
from tests.programs.bench import Row, at_most
from tests.programs.bench.contestants import contestants
from tests.programs.bench.rounds import Contestant, measure, timing
from tests.programs.bench.stage import say
from usage.metering import admit
from usage.metering.call import ChargeRequest
from usage.metering.reservations import finishing, opening, progress
from usage.metering.reservations.ends import Report
from usage.metering.reservations.opening import Asked

TITLE = "Reservations"
MOST_TIMES = 2.2
UNITS = {"input": 1200, "output": 800}


def run(*, quick: bool) -> list[Row]:
    rounds = 15 if quick else 150
    say(f"{rounds} rounds")
    user = get_user_model().objects.create_user("agatha")
    subscriptions.subscribe(user.pk, Plan.objects.get(code="enterprise"), timezone.now())
    _, key = ApiKey.issue(account=user, name="bench", scope="meter")
    caller = Caller(user.pk, key, callers.look_up(key))
    ways: dict[str, Callable[[], None]] = {
        "call": lambda: _call(caller),
        "tokens": lambda: _reserve(caller, Asked("ai_agent_query", tokens=9), {"tokens": 4}),
        "units": lambda: _reserve(caller, Asked("ai_agent_query", "m-large", UNITS, run="r-81"), {"input": 9}),
        "heartbeat": lambda: _reserve(caller, Asked("ai_agent_query", tokens=9), {"tokens": 4}, beat=True),
    }
    stream = AccountKeys(user.pk).stream
    ours = {name: Contestant(way, lambda: client().delete(stream)) for name, way in ways.items()}  # type: ignore[arg-type, return-value]
    others = {name: contestant for name, contestant in contestants().items() if name in ("plain", "gateway")}
    medians = measure(others | ours, rounds, 100)
    gateway = timing(medians["gateway"], medians["plain"])
    found = {name: median(medians[name]) for name in ways}
    what = "one metered call"
    return [
        Row("one metered call: what the whole gateway adds to a view", gateway.us, "µs", note=gateway.spread),
        at_most("reserve and settle, in tokens", found["tokens"], "µs", times=MOST_TIMES, of=gateway.us, what=what),
        at_most("… in units, by a model's price", found["units"], "µs", times=MOST_TIMES, of=gateway.us, what=what),
        Row("… and one heartbeat", found["heartbeat"], "µs"),
        Row("the decision of a call alone, in process", found["call"], "µs"),
    ]


def _call(caller: Caller) -> None:
    admit.admit(caller, lambda catalogue: ChargeRequest(catalogue.features["ai_agent_query"]))


def _reserve(caller: Caller, asked: Asked, used: dict[str, int], *, beat: bool = False) -> None:
    now = timezone.now()
    _, held, _ = opening.reserve(caller, asked, now)
    if beat:
        progress.heartbeat(held, used, now)
    finishing.settle(held, Report(used), now)
