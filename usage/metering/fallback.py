"""Decides a call while Redis is out of reach: the quota strictly, by PostgreSQL's counter; the minute in this process.

The event goes in first: when Redis was asked in vain it may have charged the call already, and the drain may have
brought that to PostgreSQL. One transaction holds the event, every sum and the fence by which Redis learns of it later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, cast

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from psycopg.types.json import Jsonb

from billing.fence import push
from billing.fence.fenced import push_on_commit
from billing.fence.models import CATALOGUE
from billing.models import Fence
from billing.rules.entitlement import MINUTE, QUOTA
from billing.rules.instants import from_ms, from_seconds
from ratelimit.in_process import InProcessWindows, share_of
from ratelimit.limiter import StaleFacts
from ratelimit.limits import Decision, KeptAnswer, Limit, Outcome, Part, Standing
from usage.log import crossings, idempotency, keyed_charges, partitions, reserved, sums
from usage.log.batch import EventBatch
from usage.log.events import CHARGE, REFUSED, Event
from usage.log.idempotency import State
from usage.log.store import record_without_redis
from usage.metering import budgets
from usage.metering.call import Call
from usage.models import IdempotencyRecord, UsageLog, WindowUsage
from usage.sync import outage

FALLBACK, REFUSE, ADMIT = "fallback", "refuse", "admit"
"""What WHEN_REDIS_IS_DOWN may say: decide by PostgreSQL, answer 503, or let every entitled call pass and record it."""

EVENT = """
INSERT INTO usage_usagelog (id, event_id, charged_at, created_at, account_id, feature, tokens, kind,
        source, key_prefix, window_starts_at, metadata)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
COUNTER = f"""
INSERT INTO usage_windowusage AS kept (account_id, starts_at, ends_at, tokens, revision)
    SELECT %(account)s, %(start)s, %(end)s, %(cost)s, 1 WHERE %(cost)s <= coalesce(%(quota)s::bigint, %(cost)s)
ON CONFLICT (account_id, starts_at) DO UPDATE
    SET tokens = kept.tokens + EXCLUDED.tokens, revision = kept.revision + 1
    WHERE kept.tokens + EXCLUDED.tokens <= coalesce(%(quota)s::bigint, kept.tokens + EXCLUDED.tokens)
RETURNING tokens, {crossings.ARE_DUE}
"""
OUTCOME_OF = {
    State.OTHER_REQUEST: Outcome.CONFLICT,
    State.IN_FLIGHT: Outcome.IN_PROGRESS,
    State.ANSWERED: Outcome.REPLAYED,
    State.EXHAUSTED: Outcome.EXHAUSTED,
    State.UNANSWERED: Outcome.RERUN,
}

minutes: InProcessWindows[int] = InProcessWindows(settings.SNAPSHOT_CACHE_SIZE)


class CommitUnknown(OperationalError):
    """PostgreSQL was asked to commit the charge of a call, and nobody knows whether it did."""


class _Refused(Exception):
    """The quota, or a budget of the key, has no room: nothing of the transaction stays."""


class _KeyTaken(Exception):
    """Another call under the same Idempotency-Key was charged at this moment."""


class _Charged(NamedTuple):
    """What became of a call: under which event it stands, and the tokens used where they are known by now."""

    outcome: Outcome
    event: str
    used: int | None = None
    audit: bytes = b""
    answer: KeptAnswer | None = None


def decide(call: Call, *, alone: bool) -> Decision | StaleFacts:
    """The decision on a call; StaleFacts when PostgreSQL knows later facts than the call was made with.

    `alone`: Redis judges the other accounts meanwhile, and there is no outage (see bypass.py).
    Raises outage.OutageOver, or django's OperationalError: without PostgreSQL too there is no decision; CommitUnknown
    when the call may be charged all the same.
    """
    if not alone:
        outage.enter(from_ms(call.now_ms))
    if (stale := _stale(call)) is not None:
        return stale
    account, minute = call.snapshot.facts.account, call.snapshot.entitlement.limit(MINUTE)
    stamp: int | None = None
    if minute is not None and call.template.take.requests and _judging():
        stamp = minutes.take(account, minute, _share(minute), call.now_ms)
        if stamp is None:
            return _decision(call, _Charged(Outcome.REFUSED, call.id), by_minute=True)
    bounds, of_key = call.template.bounds, None
    if bounds is not None and call.template.take.requests and _judging():
        has_room, of_key = budgets.take_minute(bounds, call.now_ms)
        if not has_room:
            minutes.give_back(account, stamp or 0)
            return _decision(call, _Charged(Outcome.REFUSED, call.id), refused=frozenset({Part.MINUTE}))
    charged = _charge(call, partial(_alone, account) if alone else outage.within)
    if charged.outcome not in (Outcome.ADMITTED, Outcome.RERUN):
        minutes.give_back(account, stamp or 0)
        if bounds is not None:
            budgets.give_minute_back(bounds, of_key)
    return _decision(call, charged, refused=frozenset({Part.DAY}))


def minute_standing(account: int, minute: Limit, now_ms: int) -> Standing:
    """How the account stands against a minute of that maximum, by what this process has let pass."""
    return minutes.standing(account, minute, _share(minute), now_ms)


def record_refusal(event: Event) -> None:
    """Make sure that a call that was refused stays uncharged, although Redis may have charged it, or still will.

    Twice is as good as once.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        partitions.ensure([from_ms(event.charged_at_ms)])
        cursor.execute(EVENT, _row(event, REFUSED, 0))
        if not cursor.rowcount and UsageLog.objects.filter(id=event.id, kind=CHARGE).exists():
            void(event, event.at_ms)


def void(event: Event, now_ms: int) -> bool:
    """Take a charge back in PostgreSQL; False when its request runs again under its key, or has ended there."""
    with transaction.atomic():
        if event.key and not idempotency.release(event):
            return False
        record_without_redis([event.voided(now_ms)])
    return True


def _stale(call: Call) -> StaleFacts | None:
    facts, catalogue = call.snapshot.facts, call.snapshot.catalogue
    changed = dict(Fence.objects.filter(subject__in=[facts.account, CATALOGUE]).values_list("subject", "changed"))
    account_version = max(changed.get(facts.account, 1), facts.version)
    catalogue_version = max(changed.get(CATALOGUE, 1), catalogue.version)
    if (account_version, catalogue_version) == (facts.version, catalogue.version):
        return None
    return StaleFacts(account_version, catalogue_version)


def _charge(call: Call, within: Callable[[], AbstractContextManager[None]]) -> _Charged:
    event = call.event
    if event is None:
        return _Charged(Outcome.ADMITTED, call.id)
    now, charged = from_ms(call.now_ms), None
    while True:
        try:
            with within():
                if event.key and (known := idempotency.find(event.account, event.key, now)):
                    return _by_record(call, known, now)
                charged = _Charged(Outcome.ADMITTED, call.id, _store(call, event))
            return charged
        except _Refused:
            return _Charged(Outcome.REFUSED, call.id)
        except _KeyTaken:
            continue
        except (OperationalError, InterfaceError) as error:
            if charged is None:
                raise  # PostgreSQL forgets a transaction that was not to be committed
            raise CommitUnknown(str(error)) from error


@contextmanager
def _alone(account: int) -> Iterator[None]:
    """A transaction, of which Redis is told as soon as it is committed."""
    with transaction.atomic():
        push_on_commit(account)
        yield


def _by_record(call: Call, record: IdempotencyRecord, now: datetime) -> _Charged:
    """What the call's Idempotency-Key says, which is known."""
    event = str(record.event_id)
    if event == call.id:
        # This very call: Redis had charged it when its answer was lost, and the drain was faster.
        return _Charged(Outcome.ADMITTED, call.id)
    state = idempotency.state_of(record, call.request.fingerprint.decode(), now)
    if state is State.UNANSWERED:
        idempotency.rerun(record, now)
    return _Charged(OUTCOME_OF[state], event, audit=bytes(record.audit), answer=idempotency.answer_of(record))


def _store(call: Call, event: Event) -> int | None:
    """Charge within the present transaction; None for an event that was charged already, by Redis and the drain."""
    partitions.ensure([from_ms(event.charged_at_ms)])
    quota = call.snapshot.entitlement.limit(QUOTA)
    values: dict[str, Any] = {
        "account": event.account,
        "start": from_seconds(event.window_start),
        "end": from_seconds(event.window_end),
        "cost": event.tokens,
        "quota": quota.maximum if quota is not None and event.tokens and _judging() else None,
    }
    with connection.cursor() as cursor:
        cursor.execute(EVENT, _row(event, CHARGE, event.tokens))
        if not cursor.rowcount:
            if event.key and idempotency.find(event.account, event.key, from_ms(call.now_ms)):
                raise _KeyTaken
            return None
        if event.key and not keyed_charges.open_one(event, from_ms(call.now_ms)):
            raise _KeyTaken
        cursor.execute(COUNTER, values)
        counter = cursor.fetchone()
        if counter is None:
            raise _Refused
    bounds = call.template.bounds
    if bounds is not None and event.tokens and _judging() and not budgets.have_room(bounds):
        raise _Refused
    batch = EventBatch.of([event])
    reserved.note([batch], by_redis=False)
    if counter[1]:
        crossings.mark([(event.account, event.window_start)])
    sums.move(Counter(batch.moves()), windows=False)
    push.invalidate_counters([event.account])
    return cast(int, counter[0])


def _decision(
    call: Call, charged: _Charged, *, by_minute: bool = False, refused: frozenset[Part] = frozenset()
) -> Decision:
    """`refused` are parts of the key's budgets that refuse, if anything does; Part.DAY: those of tokens."""
    account, bounds, is_refused = call.snapshot.facts.account, call.template.bounds, charged.outcome is Outcome.REFUSED
    cost = call.template.cost
    of_key = (
        ()
        if bounds is None
        else budgets.standings_without_redis(bounds, cost, call.now_ms, refused if is_refused else frozenset())
    )
    by_key = tuple(budget.standing.limit for budget in of_key if budget.refuses)
    standings: list[Standing] = []
    violated: list[Limit] = []
    for limit in call.limits:
        if limit.name == MINUTE:
            standings.append(minute_standing(account, limit, call.now_ms))
            violated += [limit] * by_minute
            continue
        used = _used(account, limit) if charged.used is None else charged.used
        standings.append(Standing(limit, used, max(limit.ends_at_ms - call.now_ms, 0)))
        if is_refused and not ((by_minute or by_key) and standings[-1].admits(cost)):
            violated.append(limit)
    return Decision(
        charged.outcome,
        call.now_ms,
        charged.event,
        tuple(standings),
        (*violated, *by_key),
        charged.audit,
        charged.answer,
        of_key,
    )


def _used(account: int, quota: Limit) -> int:
    counter = WindowUsage.objects.filter(account_id=account, starts_at=from_ms(quota.starts_at_ms or 0))
    return counter.values_list("tokens", flat=True).first() or 0


def _row(event: Event, kind: str, tokens: int) -> list[Any]:
    return [
        event.id,
        event.charge,
        from_ms(event.charged_at_ms),
        from_ms(event.at_ms),
        event.account,
        event.feature,
        tokens,
        kind,
        event.source,
        event.key_prefix,
        from_seconds(event.window_start),
        None if event.metadata is None else Jsonb(event.metadata),
    ]


def _share(minute: Limit) -> int:
    assert minute.maximum is not None
    return share_of(minute.maximum, settings.WEB_PROCESSES)


def _judging() -> bool:
    return bool(settings.WHEN_REDIS_IS_DOWN == FALLBACK)
