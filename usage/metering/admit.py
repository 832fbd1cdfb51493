"""Admits calls: the entitlement as limits, one script, and one reload when the facts were stale.

This is the one seam between Redis and PostgreSQL as the judge of a call: whether the circuit to Redis is open.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.conf import settings

from billing.catalogue import published
from billing.catalogue.published import Catalogue
from billing.entitlements import snapshots
from billing.entitlements.api_keys import Caller
from billing.entitlements.snapshots import Snapshot
from billing.fence import push
from billing.fence.models import CATALOGUE
from ratelimit import limiter
from ratelimit.limits import Decision, Outcome
from ratelimit.store import NotExecuted, RedisUnreachable, ServerChanged, store
from usage.log import events
from usage.metering import fallback
from usage.metering.admission import Admission
from usage.metering.call import Call, Charge, prepare
from usage.sync import publish
from usage.sync.outage import OutageOver, breaker

logger = logging.getLogger(__name__)
TRIES = 5
"""How often one call is tried before it gets a 503: Redis may fail, change, or call the same facts stale again."""
PATIENCE_SECONDS = 5.0
"""How long a call whose facts were edited again while they were read uses up no try. Edits of one account come in
bursts, and on a busy machine faster than its facts are read."""
_tellers = tuple(threading.Lock() for _ in range(256))


class Unavailable(Exception):
    """No decision can be made now: an engine is out of reach, or the facts change faster than they are read."""


def admit(caller: Caller, charge_of: Callable[[Catalogue], Charge]) -> Admission:
    """Decide on one call and charge it in the same step; `charge_of` is asked again when the catalogue was stale.

    A feature the plan lacks consumes nothing. Raises CredentialsGone, Unavailable, or django's OperationalError; a
    refusal is an Admission that is not `admitted`. The facts a refusal rests on are never stale: their versions were
    compared where the call was decided.
    """
    now_ms = time.time_ns() // 1_000_000
    event_id = events.mint(now_ms)
    asked_in_vain: Call | None = None
    tries, stale, until = TRIES, None, time.monotonic() + PATIENCE_SECONDS
    while tries:
        tries -= 1
        snapshot = snapshots.snapshot(caller.account, now_ms)
        caller.confirm(snapshot.facts.version, active=snapshot.facts.active)
        call = prepare(event_id, snapshot, caller, charge_of(snapshot.catalogue), now_ms)
        by_redis, told_times = not breaker.is_open, snapshot.told.times
        try:
            answer = _ask_redis(call) if by_redis else _decide_without(call, asked_in_vain)
        except ServerChanged:
            continue
        except RedisUnreachable as error:
            breaker.trip(error)
            if not isinstance(error, NotExecuted):
                asked_in_vain = call
            continue
        except OutageOver:
            breaker.attempt()
            continue
        if isinstance(answer, limiter.StaleFacts):
            _refresh(snapshot, answer, now_ms, told_times)
            tries += answer != stale and time.monotonic() < until  # other versions: somebody has edited them again
            stale = answer
        elif answer.outcome is Outcome.SKEWED:
            logger.warning("this clock differs from Redis' by %d ms", now_ms - answer.now_ms)
            now_ms = answer.now_ms
            event_id = events.mint(now_ms)
        else:
            admission = Admission(call, answer, by_redis=by_redis)
            if asked_in_vain is not None:
                _settle_unknown(asked_in_vain, admission)
            return admission
    logger.warning("no decision for account %s in %d tries", caller.account, TRIES)
    raise Unavailable


def _ask_redis(call: Call) -> Decision | limiter.StaleFacts:
    snapshot, redis = call.kind.snapshot, store()
    if snapshot.told.epoch != redis.epoch:
        _tell(snapshot)
    return limiter.admit(
        redis,
        call.kind.asking,
        charged_at_ms=call.now_ms,
        event=call.id,
        audit=call.audit(),
        receipt=call.receipt,
        now_ms=call.now_ms if settings.RATELIMIT_CLOCK == "process" else None,
        epoch=snapshot.told.epoch,
    )


def _decide_without(call: Call, asked_in_vain: Call | None) -> Decision | limiter.StaleFacts:
    """The setting WHEN_REDIS_IS_DOWN decides how."""
    if settings.WHEN_REDIS_IS_DOWN == fallback.REFUSE:
        raise Unavailable
    return fallback.decide(call, in_doubt=asked_in_vain is not None and asked_in_vain.id == call.id)


def _settle_unknown(asked: Call, admission: Admission) -> None:
    """Redis may have charged an earlier try, or still will: it stands only if the call was admitted under it."""
    if asked.event is not None and not (admission.admitted and admission.decision.event == asked.id):
        fallback.record_refusal(asked.event)


def _refresh(snapshot: Snapshot, stale: limiter.StaleFacts, now_ms: int, told_times: int) -> None:
    """Reload what is older than Redis knows; what Redis knows too little of is told again.

    Unless another thread has told it since the stale answer was asked for, when it had been told `told_times`.
    """
    facts, catalogue = snapshot.facts, snapshot.catalogue
    if stale.account < facts.version or stale.catalogue < catalogue.version:
        with _tellers[facts.account % len(_tellers)]:
            if snapshot.told.times == told_times:
                snapshot.told.epoch = 0
    if stale.catalogue > catalogue.version and published.reload_catalogue(stale.catalogue).version < stale.catalogue:
        push.raise_above_redis(CATALOGUE, stale.catalogue)
        published.reload_catalogue(stale.catalogue + 1)
    if stale.account > facts.version:
        fresh = snapshots.reload(facts.account, stale.account, now_ms)
        if fresh.facts.version < stale.account:
            push.raise_above_redis(facts.account, stale.account)
            snapshots.reload(facts.account, stale.account + 1, now_ms)


def _tell(snapshot: Snapshot) -> None:
    """Make the server know the versions of this snapshot and PostgreSQL's counter of its window."""
    account, epoch = snapshot.facts.account, store().epoch
    # One thread tells for all that came upon the same snapshot.
    with _tellers[account % len(_tellers)]:
        if snapshot.told.epoch != epoch:
            publish.publish_account(snapshot.keys, snapshot.versions, snapshot.entitlement.window)
            snapshot.told.epoch = epoch
            snapshot.told.times += 1
