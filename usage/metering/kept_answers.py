"""Answers of metered calls under an Idempotency-Key: kept when a call succeeds, looked for where Redis has none."""

from __future__ import annotations

import logging
from contextlib import suppress

from django.db import InterfaceError, OperationalError
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from redis.exceptions import ResponseError

from ratelimit import counters, limiter
from ratelimit.keys import AccountKeys
from ratelimit.limits import Decision, KeptAnswer, Outcome
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import store
from usage.log.batch import decode
from usage.log.events import Event
from usage.log.idempotency import key_records
from usage.metering.admission import Admission
from usage.metering.call import Call
from usage.sync.outage import asking_redis

logger = logging.getLogger(__name__)
LARGEST_ANSWER = 64 * 1024
"""Bytes of a body; a larger one is not kept."""


def keep(admission: Admission, response: HttpResponseBase | None) -> None:
    """A run under a key has ended, and its charge stands: in this successful answer, or a rerun in none."""
    event = admission.event
    if admission.call.keyed is None or event is None or not admission.admitted:
        return
    answer = None if response is None else _to_keep(response)
    if not admission.by_redis:
        with suppress(OperationalError, InterfaceError):
            key_records.end_request(event, answer)
        return
    record = admission.call.keyed.record
    # Without an end the request is in flight for its time, and may run again then.
    with suppress(RedisUnreachable, ResponseError):
        asking_redis(lambda: limiter.end_request(store(), record, event.charge, answer))


def _to_keep(response: HttpResponseBase) -> KeptAnswer | None:
    """None of a stream, of what is too large, and of a body that its headers say how to read."""
    if not isinstance(response, HttpResponse) or response.has_header("Content-Encoding"):
        return None
    if len(response.content) > LARGEST_ANSWER:
        return None
    head = f"{response.status_code} {response.get('Content-Type', '')}"
    return KeptAnswer(head.encode(), response.content)


def given_again(answer: KeptAnswer) -> HttpResponse:
    """The response that was kept, with its status, its content type and its body."""
    status, _, content_type = answer.head.decode().partition(" ")
    response = HttpResponse(answer.body, status=int(status), content_type=content_type or None)
    if not content_type:
        del response["Content-Type"]
    return response


def look_up(call: Call, decision: Decision) -> Decision | None:
    """The decision on a request that Redis knows, after a look into PostgreSQL where Redis has no answer to it.

    PostgreSQL has the answers of calls that were decided without Redis. None: the charge was voided without Redis, the
    key is free now, and the call is to be decided anew. While PostgreSQL is out of reach Redis' decision holds.
    Raises MalformedEvent when Redis' record has no event that could be voided.
    """
    assert call.keyed is not None
    event = decode(decision.audit)
    if decision.outcome not in (Outcome.RERUN, Outcome.EXHAUSTED):
        return decision
    try:
        answer, is_uncharged = key_records.kept(event)
    except (OperationalError, InterfaceError):
        return decision
    if is_uncharged:
        counters.release_keys(store(), [(call.keyed.record, event.charge)])
        return None
    if answer is None:
        return decision
    limiter.end_request(store(), call.keyed.record, event.charge, answer)
    return decision._replace(outcome=Outcome.REPLAYED, answer=answer)


def free_key(event: Event) -> bool:
    """Free in Redis the key of a charge that is to be taken back, as its first run has served nobody.

    False where the charge stands: its request has run again under the key since. Redis knows that of the calls that it
    decides, whether or not this process decides by it at the moment; without Redis, PostgreSQL's record tells it later.
    """
    if not event.key:
        return True
    record = AccountKeys(event.account).record(event.key)
    try:
        return not limiter.give_up(store(), record, event.charge)
    except RedisUnreachable:
        return True
    except ResponseError as error:
        logger.warning("whether the request of charge %s has run again is not known: %s", event.charge, error)
        return True
