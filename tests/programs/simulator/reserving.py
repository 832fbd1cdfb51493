"""What the simulated processes do with reservations: production's own functions, called as the views call them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from random import Random

from django.http import HttpResponse

from billing.catalogue import in_memory
from billing.entitlements.callers import Caller
from ratelimit.servers.single import RedisUnreachable
from tests.programs.simulator.database_faults import replace_if_cut
from tests.programs.simulator.memory import Clock
from tests.programs.simulator.operations import NO_DATABASE, giving_up, reaches_view
from tests.programs.simulator.schedule import Process
from tests.programs.simulator.standings import Call, Holding
from tests.programs.simulator.truth import Truth
from usage.drain.drain import Behind
from usage.metering import admit, kept_answers, voiding
from usage.metering.admit import Unavailable
from usage.metering.call import ChargeRequest
from usage.metering.reservations import finishing, opening, progress, sweep
from usage.metering.reservations.ends import Report
from usage.metering.reservations.held import find
from usage.metering.reservations.opening import Asked
from usage.metering.reservations.refusals import BoundExceeded, ChildrenOpen, NotFound, Over, ReservationRefused

MODEL = "m-simulated"
FEATURE = "trace_start"
RATES = {"input": 1_000, "cache_read": 100, "cache_write": 1_250, "output": 4_000, "fixed": 500}
"""Of 1,000 units, in thousandths of a token."""
UNREACHABLE = (RedisUnreachable, Behind, Unavailable, *NO_DATABASE)


def reserve(process: Process, truth: Truth, clock: Clock, call: Call, holding: Holding) -> None:
    """Open a reservation, as POST /api/v1/usage/reservations does."""
    replace_if_cut()
    asked, caller = _asked(call, holding), Caller(call.account)

    def charge(catalogue: in_memory.Catalogue) -> ChargeRequest:
        request = opening.charge_request(asked, catalogue, clock.now(), account=call.account, counts=False)
        fingerprint = f"{zlib.crc32(repr(asked).encode()):x}".encode() if call.key else b""
        return request._replace(idempotency_key=call.key, fingerprint=fingerprint)

    try:
        admission = admit.admit(caller, charge)
    except ReservationRefused:
        call.answer = "refused"
        return
    except UNREACHABLE:
        if not process.dead:
            call.answer = "unavailable"
        return
    begins = reaches_view(call, admission)
    holding.id = call.event
    if not begins:
        return
    process.pause("view")
    try:
        opening.opened(admission, asked, clock.now())
    except (ReservationRefused, *UNREACHABLE):
        voiding.void_failed_call(admission)
        if not process.dead:
            call.void, call.answer = "done", "failed"
        return
    kept_answers.keep(admission, HttpResponse(b"reserved"))
    call.answer = "served"


def _asked(call: Call, holding: Holding) -> Asked:
    parent = holding.parent.id if holding.parent else ""
    if holding.units:
        return Asked(call.feature, MODEL, holding.units, parent=parent, expires_in=holding.seconds)
    return Asked(call.feature, tokens=holding.bound, parent=parent, expires_in=holding.seconds)


def heartbeat(process: Process, clock: Clock, holding: Holding, tokens: int) -> None:
    """A heartbeat; of the tokens, by whatever it was opened."""
    replace_if_cut()
    holding.said.add(tokens)
    try:
        progress.heartbeat(find(holding.account, holding.id), {"tokens": tokens}, clock.now())
    except BoundExceeded as refused:
        holding.affordable.append((tokens, refused.parameters["affordable"]["tokens"]))
    except Over as over:
        _note_over(holding, over)
    except (ReservationRefused, *UNREACHABLE):
        return
    else:
        if not process.dead:
            holding.progress = tokens


def settle(process: Process, clock: Clock, holding: Holding, tokens: int | None) -> None:
    """By what was used; None: by the last heartbeat, as nobody has reported anything."""
    if tokens is not None:
        holding.said.add(tokens)
    report = Report(None, "aborted") if tokens is None else Report({"tokens": tokens})
    _end(process, holding, lambda: finishing.settle(find(holding.account, holding.id), report, clock.now()))


def release(process: Process, clock: Clock, holding: Holding) -> None:
    _end(process, holding, lambda: finishing.release(find(holding.account, holding.id), clock.now()))


def _end(process: Process, holding: Holding, end: Callable[[], finishing.Settlement]) -> None:
    replace_if_cut()
    try:
        done = end()
    except Over as over:
        _note_over(holding, over)
    except ChildrenOpen:
        return
    except NotFound:
        holding.told.append(("not found", 0, 0))
    except UNREACHABLE:
        return
    else:
        if not process.dead:
            holding.told.append((done.state, done.charged, done.charged + done.uncollected))


def _note_over(holding: Holding, over: Over) -> None:
    holding.told.append((over.parameters["state"], over.parameters["tokens_charged"], None))


def expire_due(process: Process, clock: Clock) -> None:
    """As beat does every minute."""
    replace_if_cut()
    with giving_up(process, *UNREACHABLE):
        sweep.expire_due(clock.now())


def wanted(random: Random, calls: list[Call], call: Call) -> Holding:
    """What is asked for, of random size: tokens or units, for itself or as a child of one that is there."""
    holding = Holding(call.account, seconds=random.choice((1, 1, 5, 60)))
    parents = [it.holding for it in calls if it.holding and it.account == call.account and it.answer == "served"]
    if parents and random.random() < 0.35:
        holding.parent = random.choice(parents)
    if random.random() < 0.3:
        holding.units = {"input": random.choice((0, 400, 2_000)), "output": random.choice((0, 300, 1_500))}
        millionths = sum(number * RATES[unit] for unit, number in holding.units.items()) + RATES["fixed"] * 1000
        holding.bound = -(-millionths // 10**6)
    else:
        holding.bound = random.randint(0, 12)
    return holding
