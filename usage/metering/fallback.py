"""Decides a call while Redis is out of reach: the quota strictly, by PostgreSQL's counter; the minute in this process.

The event goes in first: when Redis was asked in vain it may have charged the call already, and the drain may have
brought that here. One transaction holds the event, every sum and the fence by which Redis learns of it later.
"""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.db import connection, transaction
from psycopg.types.json import Jsonb

from billing.fence import push
from billing.fence.models import CATALOGUE
from billing.models import Fence
from billing.rules.entitlement import MINUTE
from billing.rules.instants import from_ms, from_seconds
from ratelimit.in_process import InProcessWindows, share_of
from ratelimit.limiter import StaleFacts
from ratelimit.limits import Decision, Limit, Outcome, Standing
from usage.log import idempotency, partitions, store
from usage.log.events import Event
from usage.metering.call import Call
from usage.models import Receipt, UsageLog, WindowUsage
from usage.sync import outage

FALLBACK, REFUSE, ADMIT = "fallback", "refuse", "admit"
"""What WHEN_REDIS_IS_DOWN may say: decide by PostgreSQL, answer 503, or let every entitled call pass and record it."""

EVENT = """
INSERT INTO usage_usagelog (id, event_id, charged_at, created_at, account_id, feature, tokens, kind,
        source, key_prefix, window_starts_at, metadata)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
COUNTER = """
INSERT INTO usage_windowusage AS kept (account_id, starts_at, ends_at, tokens, revision)
    SELECT %(account)s, %(start)s, %(end)s, %(cost)s, 1 WHERE %(cost)s <= coalesce(%(quota)s::bigint, %(cost)s)
ON CONFLICT (account_id, starts_at) DO UPDATE
    SET tokens = kept.tokens + EXCLUDED.tokens, revision = kept.revision + 1
    WHERE kept.tokens + EXCLUDED.tokens <= coalesce(%(quota)s::bigint, kept.tokens + EXCLUDED.tokens)
RETURNING tokens
"""
# As the drain's sums go: by feature, and by the UTC date of the charge.
SUMS = """
WITH by_feature AS (
    INSERT INTO usage_featureusage AS kept (account_id, window_starts_at, feature, tokens)
        VALUES (%(account)s, %(start)s, %(feature)s, %(cost)s)
    ON CONFLICT (account_id, window_starts_at, feature) DO UPDATE SET tokens = kept.tokens + EXCLUDED.tokens
)
INSERT INTO usage_dailyusage AS kept (account_id, date, feature, tokens, calls)
    VALUES (%(account)s, %(date)s, %(feature)s, %(cost)s, 1)
ON CONFLICT (account_id, date, feature)
    DO UPDATE SET tokens = kept.tokens + EXCLUDED.tokens, calls = kept.calls + EXCLUDED.calls
"""

minutes = InProcessWindows(settings.SNAPSHOT_CACHE_SIZE)


class _Refused(Exception):
    """The quota has no room: nothing of the transaction stays."""


class _KeyTaken(Exception):
    """Another run under the same Idempotency-Key was charged at this moment."""


def decide(call: Call, *, in_doubt: bool = False) -> Decision | StaleFacts:
    """The decision on a call; StaleFacts when PostgreSQL knows later facts than the call was made with.

    `in_doubt`: Redis was asked about this very call in vain, and may have charged it.

    Raises outage.OutageOver, or django's OperationalError: without PostgreSQL too there is no decision.
    """
    outage.enter(from_ms(call.now_ms))
    if (stale := _stale(call)) is not None:
        return stale
    account, taking = call.snapshot.facts.account, call.takes[0]
    stamp: int | None = None
    if taking.limit.name == MINUTE and taking.amount and _judging():
        stamp = minutes.take(account, taking.limit, _share(taking.limit), call.now_ms)
        if stamp is None:
            return _answer(call, Outcome.REFUSED, call.id, by_minute=True)
    outcome, event, first_run, used = _charge(call, in_doubt)
    if stamp is not None and outcome in (Outcome.REFUSED, Outcome.CONFLICT):
        minutes.give_back(account, stamp)
    return _answer(call, outcome, event, first_run=first_run, used=used)


def record_refusal(event: Event) -> None:
    """Make sure that a call that was refused stays uncharged, although Redis may have charged it, or still will."""
    with transaction.atomic(), connection.cursor() as cursor:
        partitions.ensure([from_ms(event.charged_at_ms)])
        cursor.execute(EVENT, _row(event, UsageLog.Kind.REFUSED, 0))
        if not cursor.rowcount:
            store.record([event.voided(event.at_ms)])


def _stale(call: Call) -> StaleFacts | None:
    facts, catalogue = call.snapshot.facts, call.snapshot.catalogue
    changed = dict(Fence.objects.filter(subject__in=[facts.account, CATALOGUE]).values_list("subject", "changed"))
    account_version = max(changed.get(facts.account, 1), facts.version)
    catalogue_version = max(changed.get(CATALOGUE, 1), catalogue.version)
    if (account_version, catalogue_version) == (facts.version, catalogue.version):
        return None
    return StaleFacts(account_version, catalogue_version)


def _charge(call: Call, in_doubt: bool) -> tuple[Outcome, str, bytes, int | None]:
    """Outcome, the event it stands under, a replay's first run, and the tokens used where they are known by now."""
    event = call.event
    if event is None:
        return Outcome.ADMITTED, call.id, b"", None
    while True:
        try:
            with outage.within():
                if event.receipt and (held := idempotency.find(event.account, event.receipt, from_ms(call.now_ms))):
                    return _replay(call, held)
                return Outcome.ADMITTED, call.id, b"", _store(call, event, in_doubt)
        except _Refused:
            return Outcome.REFUSED, call.id, b"", None
        except _KeyTaken:
            continue


def _replay(call: Call, held: Receipt) -> tuple[Outcome, str, bytes, int | None]:
    if str(held.event_id) == call.id:
        # This very call: Redis had charged it, and counted its run, when its answer was lost, and the drain was faster.
        return Outcome.ADMITTED, call.id, b"", None
    if held.fingerprint != call.charge.fingerprint.decode():
        return Outcome.CONFLICT, str(held.event_id), b"", None
    held.runs += 1
    held.save(update_fields=["runs"])
    return Outcome.REPLAYED, str(held.event_id), bytes(held.audit), None


def _store(call: Call, event: Event, in_doubt: bool) -> int | None:
    """Charge within the present transaction; None for an event that was charged already, by Redis and the drain."""
    charged_at = from_ms(event.charged_at_ms)
    partitions.ensure([charged_at])
    values: dict[str, Any] = {
        "account": event.account,
        "start": from_seconds(event.window_start),
        "end": from_seconds(event.window_end),
        "feature": event.feature,
        "date": charged_at.date(),
        "cost": event.tokens,
        "quota": call.takes[-1].limit.maximum if event.tokens and _judging() else None,
    }
    with connection.cursor() as cursor:
        cursor.execute(EVENT, _row(event, UsageLog.Kind.CHARGE, event.tokens))
        if not cursor.rowcount:
            if event.receipt and idempotency.find(event.account, event.receipt, from_ms(call.now_ms)):
                raise _KeyTaken
            return None
        if event.receipt and not idempotency.open_one(event, from_ms(call.now_ms), in_doubt=in_doubt):
            raise _KeyTaken
        cursor.execute(COUNTER, values)
        counter = cursor.fetchone()
        if counter is None:
            raise _Refused
        cursor.execute(SUMS, values)
    push.invalidate_counters([event.account])
    return cast(int, counter[0])


def _answer(
    call: Call,
    outcome: Outcome,
    event: str,
    *,
    first_run: bytes = b"",
    used: int | None = None,
    by_minute: bool = False,
) -> Decision:
    account, quota = call.snapshot.facts.account, call.takes[-1]
    if used is None:
        used = _used(account, quota.limit)
    standings = [Standing(quota.limit, used, max(quota.limit.ends_at_ms - call.now_ms, 0))]
    violated: list[Limit] = []
    minute = call.takes[0].limit
    if minute.name == MINUTE:
        standings.insert(0, minutes.standing(account, minute, _share(minute), call.now_ms))
        violated += [minute] * by_minute
    if outcome is Outcome.REFUSED and not (by_minute and standings[-1].admits(quota.amount)):
        violated.append(quota.limit)
    return Decision(outcome, call.now_ms, event, tuple(standings), tuple(violated), first_run)


def _used(account: int, quota: Limit) -> int:
    starts_at = from_ms(quota.starts_at_ms or 0)
    counter = WindowUsage.objects.filter(account_id=account, starts_at=starts_at)
    return counter.values_list("tokens", flat=True).first() or 0


def _row(event: Event, kind: UsageLog.Kind, tokens: int) -> list[Any]:
    return [
        event.id,
        event.charge,
        from_ms(event.charged_at_ms),
        from_ms(event.at_ms),
        event.account,
        event.feature,
        tokens,
        kind.value,
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
