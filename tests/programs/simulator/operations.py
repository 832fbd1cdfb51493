"""What the simulated processes do: production's own functions, called as the gateway, the drain and beat call them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.http import HttpResponse, StreamingHttpResponse

from billing.catalogue import in_memory
from billing.entitlements.callers import Caller
from billing.fence import push
from billing.models import LimitOverride
from ratelimit.servers.single import RedisUnreachable
from tests.programs.simulator.database_faults import replace_if_cut
from tests.programs.simulator.memory import Clock
from tests.programs.simulator.schedule import Process
from tests.programs.simulator.standings import Call
from tests.programs.simulator.truth import Truth
from usage.drain import drain as streams
from usage.log import events
from usage.metering import admit, kept_answers, unsettled, voiding
from usage.metering.admission import Admission
from usage.metering.admit import Unavailable
from usage.metering.call import ChargeRequest
from usage.reconciliation import second_charges
from usage.sync import outage, rebuild

NO_DATABASE = (OperationalError, InterfaceError)


@contextmanager
def giving_up(process: Process, *errors: type[Exception]) -> Iterator[None]:
    """What cannot be done now is left to the next time. After the faults there is no reason to: it is raised."""
    try:
        yield
    except errors:
        if process.faults_are_over:
            raise


def call(process: Process, truth: Truth, call: Call) -> None:
    """A metered request, through to its settling; what its client is told is noted at the end."""
    replace_if_cut()
    try:
        admission = admit.admit(Caller(call.account), lambda catalogue: _charge_request(call, catalogue))
    except (Unavailable, *NO_DATABASE):
        if not process.dead:
            call.answer = "unavailable"
        return
    if not reaches_view(call, admission):
        return
    process.pause("view")
    if call.fails:
        voiding.void_failed_call(admission)
        if process.dead:
            return  # it died at a commit, which Django tells as PostgreSQL's failure
        call.void = "done"
    else:
        kept_answers.keep(admission, HttpResponse(b"scored") if call.keeps_answer else StreamingHttpResponse([b""]))
    call.answer = "failed" if call.fails else "served"


def reaches_view(call: Call, admission: Admission) -> bool:
    """Whether its view is to run, rather than a refusal or the kept answer told; what its client learns is noted."""
    call.replayed = admission.replayed
    if admission.answer is None and not admission.admitted:
        call.answer = "refused"
        return False
    assert admission.event is not None
    call.event = admission.event.charge
    if admission.answer is not None:
        call.answer = "served"
    return admission.answer is None


def _charge_request(call: Call, catalogue: in_memory.Catalogue) -> ChargeRequest:
    return ChargeRequest(
        catalogue.features[call.feature],
        source=events.TRACK if call.tracked else events.GATEWAY,
        idempotency_key=call.key,
        fingerprint=call.feature.encode() if call.key else b"",
    )


def take_back(process: Process, clock: Clock, call: Call) -> None:
    """The maker of a tracked charge wants it back."""
    replace_if_cut()
    call.void = "asked"
    try:
        voiding.void_tracked_charge(call.account, UUID(call.event), clock.now())
    except (RedisUnreachable, streams.Behind, *NO_DATABASE):
        return
    except voiding.EventNotFound:
        call.void = "not found"
    except voiding.AlreadyVoided:
        # By an earlier request for the same, of which nobody got the answer.
        call.void = "done"
    else:
        call.void = "done"


def drain(process: Process, shards: Sequence[int]) -> None:
    replace_if_cut()
    with giving_up(process, RedisUnreachable, *NO_DATABASE):
        streams.drain_shards(shards)


def sweep(process: Process) -> None:
    replace_if_cut()
    with giving_up(process, *NO_DATABASE):
        push.sweep()


def recover(process: Process, truth: Truth) -> None:
    """What a process does by itself while its circuit is open, or charges wait to be settled."""
    replace_if_cut()
    if outage.breaker.is_open and not outage.breaker.attempt() and process.faults_are_over:
        raise RedisUnreachable("a circuit stays open")
    if unsettled.settle():
        truth.settled(process)


def void_second_charges(process: Process, clock: Clock) -> None:
    replace_if_cut()
    with giving_up(process, *NO_DATABASE):
        second_charges.void_second_charges(clock.now())


def change_quota(process: Process, account: int, maximum: int) -> None:
    replace_if_cut()
    with giving_up(process, *NO_DATABASE):
        override = LimitOverride.objects.get(account=account)
        override.maximum = maximum
        override.save()


def rebuild_redis(process: Process, clock: Clock) -> None:
    """As manage.py init_redis_keys does."""
    replace_if_cut()
    with giving_up(process, RedisUnreachable, *NO_DATABASE):
        rebuild.rebuild(clock.now(), lambda *_: None)
