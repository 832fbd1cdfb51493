"""Admits calls: the entitlement as limits, one script, and one reload when the facts were stale.

This is the one seam between Redis and PostgreSQL as the judge of a call: whether the circuit to Redis is open.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db import InterfaceError, OperationalError
from redis.exceptions import ResponseError

from billing.catalogue import in_memory
from billing.catalogue.in_memory import Catalogue
from billing.entitlements import snapshots
from billing.entitlements.callers import Caller, standing_in_for
from billing.entitlements.snapshots import Snapshot
from billing.fence import push
from billing.fence.models import CATALOGUE
from billing.models import ApiKey
from billing.postgres.guard import waiting_for_postgres
from billing.rules import ids
from billing.rules.entitlements.entitlement import Metered
from billing.rules.instants import from_ms, to_ms
from ratelimit import limiter, process_state
from ratelimit.budgets import Asked
from ratelimit.limits import Decision, Outcome
from ratelimit.servers.single import NotExecuted, RedisUnreachable, ServerChanged
from ratelimit.store import store
from usage.drain import drain
from usage.log.events import MalformedEvent
from usage.metering import budgets, bypass, fallback, fallback_charge, kept_answers, unsettled
from usage.metering.admission import Admission
from usage.metering.call import Call, ChargeRequest, prepare
from usage.sync import publish
from usage.sync.outage import OutageOver, breaker

logger = logging.getLogger(__name__)
TRIES = 5
"""How often one call is tried before it gets a 503: Redis may fail, change, or call the same facts stale again."""
PATIENCE_SECONDS = 5.0
"""How long what others do meanwhile uses up no try: edits of the account, which come in bursts and on a busy machine
faster than its facts are read, and the end of an outage, which each process finds for itself."""
_publishing: tuple[threading.Lock, ...] = process_state.remember(
    __name__, "_publishing", lambda: tuple(threading.Lock() for _ in range(256))
)


class Unavailable(Exception):
    """No decision can be made now: an engine is out of reach, or the facts change faster than they are read."""


class FeatureNotSold(Unavailable):
    """A call is charged as a feature that the catalogue does not have: somebody has to add it there."""

    def __init__(self, feature: str) -> None:
        super().__init__(f"the feature {feature!r} is not in the catalogue")
        self.feature = feature


def feature_of(code: str, catalogue: Catalogue) -> Metered:
    """The feature of that code, for who asks to be charged as it: also one that was added a second ago.

    Raises FeatureNotSold.
    """
    found = catalogue.features.get(code) or in_memory.recent_catalogue().features.get(code)
    if found is None:
        raise FeatureNotSold(code)
    return found


def admit(caller: Caller, request_of: Callable[[Catalogue], ChargeRequest]) -> Admission:
    """Decide on one call and charge it in the same step; `request_of` is asked again when the catalogue was stale.

    A feature the plan lacks consumes nothing. Raises BadCredentials, Unavailable, or django's OperationalError; a
    refusal is an Admission that is not `admitted`. The facts a refusal rests on are never stale: their versions were
    compared where the call was decided.
    """
    asked_in_vain: list[Call] = []
    try:
        admission = _decide(caller, request_of, time.time_ns() // 1_000_000, asked_in_vain)
    except BaseException:
        _settle_unknown(asked_in_vain, None)
        raise
    if asked_in_vain:
        _settle_unknown(asked_in_vain, admission)
    return admission


def standing(account: int, now: datetime, key: ApiKey | None = None) -> Admission:
    """Where an account stands against its limits, without costing it a request: a call that takes nothing of any.

    With one of its keys, against that key's budgets as well. Raises Unavailable, or django's OperationalError.
    """
    caller = Caller(account) if key is None else Caller(account, "", standing_in_for(key))
    return _decide(caller, lambda _: ChargeRequest(counts=False), to_ms(now), [])


def _decide(
    caller: Caller, request_of: Callable[[Catalogue], ChargeRequest], now_ms: int, asked_in_vain: list[Call]
) -> Admission:
    """`asked_in_vain` gets the calls that may be charged although nobody answered."""
    event_id = ids.mint(now_ms)
    tries, seen, patient_until = TRIES, None, 0.0
    while tries:
        tries -= 1
        snapshot = snapshots.snapshot(caller.account, now_ms)
        caller.confirm(snapshot.facts.version, active=snapshot.facts.active)
        call = prepare(event_id, snapshot, caller, request_of(snapshot.catalogue), now_ms)
        by_redis = not (breaker.is_open or bypass.is_bypassed(caller.account))
        published_times = snapshot.published.times
        try:
            answer = _ask_redis(call) if by_redis else _decide_without(call)
        except ServerChanged:
            continue
        except RedisUnreachable as error:
            breaker.trip(error)
            if not isinstance(error, NotExecuted):
                asked_in_vain.append(call)
            continue
        except (ResponseError, MalformedEvent) as error:
            bypass.begin(caller.account, error)  # the script has refused what it found, before it wrote anything
            continue
        except fallback.CommitUnknown:
            asked_in_vain.append(call)
            raise
        except OutageOver:
            breaker.attempt(PATIENCE_SECONDS)  # by this thread, or by another one that is at it
            patient_until = patient_until or time.monotonic() + PATIENCE_SECONDS
            tries += time.monotonic() < patient_until
            continue
        if answer is None:
            continue
        if isinstance(answer, limiter.StaleFacts):
            _refresh(snapshot, answer, now_ms, published_times)
            if seen != (answer, snapshot.versions):  # other versions, Redis' or ours: somebody has edited them again
                patient_until = patient_until or time.monotonic() + PATIENCE_SECONDS
                tries += time.monotonic() < patient_until
                seen = answer, snapshot.versions
        elif answer.outcome is Outcome.SKEWED:
            logger.warning("this clock differs from Redis' by %d ms", now_ms - answer.now_ms)
            now_ms = answer.now_ms
            event_id = ids.mint(now_ms)
        else:
            return Admission(call, answer, by_redis=by_redis)
    logger.warning("no decision for account %s in %d tries", caller.account, TRIES)
    raise Unavailable


def _ask_redis(call: Call) -> Decision | limiter.StaleFacts | None:
    """None: the request's Idempotency-Key has become free meanwhile, or its budgets are counted now; so ask again."""
    snapshot, redis = call.snapshot, store()
    revision = None
    if snapshot.published.epoch != redis.epoch:
        revision = _first_look(call) if snapshot.published.read_at == redis.epoch else None
        if revision is None:
            _publish(snapshot, from_ms(call.now_ms))
    answer = limiter.admit(
        redis,
        call.template.command,
        call.template.take,
        charged_at_ms=call.now_ms,
        event=call.id,
        audit=call.audit(),
        keyed=call.keyed,
        opened=call.opened if call.request.expires_in_ms else None,
        within=call.within,
        now_ms=time.time_ns() // 1_000_000 if settings.RATELIMIT_CLOCK == "process" else None,
        epoch=snapshot.published.epoch if revision is None else snapshot.published.read_at,
        revision=revision,
    )
    if revision is not None and isinstance(answer, Decision):
        snapshot.published.epoch = snapshot.published.read_at
    if call.within is not None and isinstance(answer, Decision) and answer.outcome is Outcome.UNCOUNTED:
        _count_anew(call, call.within)
        return None
    if call.keyed is not None and isinstance(answer, Decision) and answer.audit:
        return kept_answers.look_up(call, answer)
    return answer


def _first_look(call: Call) -> int | None:
    """The revision that Redis has to know of the account's counter; None where the account has to be published to it.

    Most accounts were published by another process, or before this one began. Then Redis knows what PostgreSQL does:
    each fact raises the fence, which every call compares, and each row of the log raises its counter's revision.
    """
    if call.keyed is not None or call.within is not None or call.request.expires_in_ms or len(call.limits) > 2:
        return None
    account, window = call.snapshot.facts.account, call.snapshot.entitlement.window
    with waiting_for_postgres():
        return publish.known_revision(account, window, from_ms(call.now_ms))


def _count_anew(call: Call, within: Asked) -> None:
    """Raises Unavailable, RedisUnreachable, or django's OperationalError."""
    try:
        budgets.count_anew(
            call.snapshot.facts.account, call.template.sample.key_prefix, within, call.snapshot.versions[0]
        )
    except drain.Behind as error:
        raise Unavailable from error


def _decide_without(call: Call) -> Decision | limiter.StaleFacts:
    """The setting WHEN_REDIS_IS_DOWN decides how."""
    if settings.WHEN_REDIS_IS_DOWN == fallback.REFUSE:
        raise Unavailable
    return fallback.decide(call, alone=not breaker.is_open)


def _settle_unknown(asked: list[Call], admission: Admission | None) -> None:
    """An engine may have charged earlier tries, or still will: one stands only if the call was admitted under it."""
    stands = admission.decision.event if admission is not None and admission.admitted else ""
    for event in {call.id: call.event for call in asked}.values():
        if event is None or event.charge == stands:
            continue
        refuse = partial(fallback_charge.record_refusal, event)
        try:
            refuse()
        except (OperationalError, InterfaceError):
            unsettled.settle_later(event, refuse)


def _refresh(snapshot: Snapshot, stale: limiter.StaleFacts, now_ms: int, published_times: int) -> None:
    """Reload what is older than Redis knows; what Redis knows too little of is published again.

    Unless another thread has published it since the stale answer was asked for, when that was done `published_times`.
    """
    facts, catalogue = snapshot.facts, snapshot.catalogue
    if stale.account < facts.version or stale.catalogue < catalogue.version:
        with _publishing[facts.account % len(_publishing)]:
            if snapshot.published.times == published_times:
                snapshot.published.epoch = snapshot.published.read_at = 0
    if stale.catalogue > catalogue.version and in_memory.reload_catalogue(stale.catalogue).version < stale.catalogue:
        push.raise_above_redis(CATALOGUE, stale.catalogue)
        in_memory.reload_catalogue(stale.catalogue + 1)
    if stale.account > facts.version:
        fresh = snapshots.reload(facts.account, stale.account, now_ms)
        if fresh.facts.version < stale.account:
            push.raise_above_redis(facts.account, stale.account)
            snapshots.reload(facts.account, stale.account + 1, now_ms)


def _publish(snapshot: Snapshot, now: datetime) -> None:
    """Make the server know the versions of this snapshot and PostgreSQL's counter of its window."""
    account, epoch = snapshot.facts.account, store().epoch
    # One thread publishes for all that came upon the same snapshot.
    with waiting_for_postgres(), _publishing[account % len(_publishing)]:
        if snapshot.published.epoch != epoch:
            publish.publish_account(snapshot.keys, snapshot.versions, snapshot.entitlement.window, now)
            snapshot.published.epoch = epoch
            snapshot.published.times += 1
