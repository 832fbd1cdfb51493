"""Decides a call while Redis is out of reach: the quota strictly, by PostgreSQL's counter; the minute in this process.

The event goes in first: when Redis was asked in vain it may have charged the call already, and the drain may have
brought that to PostgreSQL. One transaction holds the event, every sum and the fence by which Redis learns of it later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from functools import partial
from typing import NamedTuple

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

from billing.fence.fenced import push_on_commit
from billing.fence.models import CATALOGUE
from billing.models import Fence
from billing.rules.entitlements.entitlement import MINUTE
from billing.rules.instants import from_ms
from ratelimit.in_process import InProcessWindows, share_of
from ratelimit.limiter import StaleFacts
from ratelimit.limits import Decision, KeptAnswer, Limit, Outcome, Part, Standing
from usage.log.idempotency import key_records
from usage.log.idempotency.key_records import State
from usage.metering import budgets
from usage.metering.call import Call
from usage.metering.fallback_charge import KeyTaken, Refused, store_charge
from usage.models import IdempotencyRecord, WindowUsage
from usage.sync import outage

FALLBACK, REFUSE, ADMIT = "fallback", "refuse", "admit"
"""What WHEN_REDIS_IS_DOWN may say: decide by PostgreSQL, answer 503, or let every entitled call pass and record it."""

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
                if event.key and (known := key_records.find(event.account, event.key, now)):
                    return _by_record(call, known, now)
                charged = _Charged(Outcome.ADMITTED, call.id, store_charge(call, event, judged=_judging()))
            return charged
        except Refused:
            return _Charged(Outcome.REFUSED, call.id)
        except KeyTaken:
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
    state = key_records.state_of(record, call.request.fingerprint.decode(), now)
    if state is State.UNANSWERED:
        key_records.rerun(record, now)
    return _Charged(OUTCOME_OF[state], event, audit=bytes(record.audit), answer=key_records.answer_of(record))


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


def _share(minute: Limit) -> int:
    assert minute.maximum is not None
    return share_of(minute.maximum, settings.WEB_PROCESSES)


def _judging() -> bool:
    return bool(settings.WHEN_REDIS_IS_DOWN == FALLBACK)
