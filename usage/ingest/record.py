"""Records what was reported: usage that has happened, so no limit refuses it, and the next call is judged with it.

One transaction holds the names by which events are known, their rows of the log, every sum, and the fences by which
Redis learns of it. So a batch that is sent again, whatever became of it before, counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction

from billing.fence import push
from billing.models import TokenTopUp
from billing.rules import ids
from billing.rules.instants import to_ms
from usage.ingest import received
from usage.ingest.accounts import Accounts
from usage.ingest.reported import Ingested, Name, Reason, Reported
from usage.log.events import CHARGE, EVENTS, Event
from usage.log.months import partitions
from usage.log.store import store
from usage.log.sums import as_array

AHEAD = timedelta(minutes=5)
"""So far a sender's clock may be ahead; what lies between now and then counts as of now."""
TRIES = 5
CHANGED = "SELECT subject, changed FROM billing_fence WHERE subject = ANY (%s::bigint[])"


class Busy(Exception):
    """The accounts' facts were changed each time that they had been read."""


class _Changed(Exception):
    """A fact was changed since it was read: nothing of the transaction stays."""


def ingest(reported: Sequence[Reported], by: str, now: datetime) -> Ingested:
    """Record the events, each once. `by` is the prefix of the API key that they came with.

    Raises Busy, and django's OperationalError, after which nobody knows what was recorded: send them again.
    """
    for _ in range(TRIES):
        try:
            return _ingest(reported, by, now)
        except (_Changed, partitions.MonthLeft):
            continue
    raise Busy


def _ingest(reported: Sequence[Reported], by: str, now: datetime) -> Ingested:
    accounts = Accounts({each.account for each in reported}, now)
    refused = _refused(reported, accounts, now)
    events: dict[Name, Event] = {}
    for place, each in enumerate(reported):
        if place not in refused and each.name not in events:
            events[each.name] = _event(each, accounts, now)
    accepted = _record(events, accounts, by, now)
    known = received.known(reported[place].name for place in refused)
    rejected = {place: reason for place, reason in refused.items() if reported[place].name not in known}
    duplicates = len(reported) - accepted - len(rejected)
    return Ingested(accepted, duplicates, rejected, accounts.over_quota())


def _refused(reported: Sequence[Reported], accounts: Accounts, now: datetime) -> dict[int, Reason]:
    """Of the events, by their places, those that cannot be recorded, known or not."""
    now_ms, features = to_ms(now), accounts.catalogue.features
    closed_ms = partitions.accepted_range([now_ms]).since_ms
    old_ms, ahead_ms = to_ms(now - timedelta(days=settings.LATE_EVENT_DAYS)), to_ms(now + AHEAD)
    refused = {}
    for place, (account, _, _, feature, at_ms, _) in enumerate(reported):
        if account not in accounts:
            refused[place] = Reason.UNKNOWN_ACCOUNT
        elif feature not in features:
            refused[place] = Reason.UNKNOWN_FEATURE
        elif at_ms > ahead_ms:
            refused[place] = Reason.IN_FUTURE
        elif at_ms < old_ms:
            refused[place] = Reason.TOO_OLD
        elif at_ms < closed_ms:
            refused[place] = Reason.MONTH_CLOSED
    return refused


def _event(each: Reported, accounts: Accounts, now: datetime) -> Event:
    """At the feature's price of today: prices of before are not kept."""
    now_ms = to_ms(now)
    at_ms = min(each.at_ms, now_ms)
    window_start, window_end = accounts.window(each.account, at_ms)
    return Event(
        charge=ids.mint(at_ms),
        kind=CHARGE,
        account=each.account,
        window_start=window_start,
        window_end=window_end,
        feature=each.feature,
        tokens=accounts.catalogue.features[each.feature].tokens,
        at_ms=now_ms,
        source=EVENTS,
        metadata=None if each.metadata is None else dict(each.metadata),
    )


def _record(events: Mapping[Name, Event], accounts: Accounts, by: str, now: datetime) -> int:
    """Store those that are not known, in one transaction; returns how many. Raises _Changed, MonthLeft."""
    with transaction.atomic():
        charges = received.remember({name: event.charge for name, event in events.items()}, by, now)
        new = [event for event in events.values() if event.charge in charges]
        if not new:
            return 0
        store(new)
        touched = {event.account for event in new}
        # In the order of everybody who moves these rows: sums, top-ups, fences.
        lapsing = _lock_lapsing_top_ups(new, accounts)
        push.invalidate_counters(touched)
        _ensure_windows(new, accounts)
        if lapsing:
            TokenTopUp.objects.filter(pk__in=lapsing, spent__isnull=False).update(spent=None)
        transaction.on_commit(lambda: push.push(touched), robust=True)
    return len(new)


def _ensure_windows(new: Sequence[Event], accounts: Accounts) -> None:
    """Once the accounts' fences are raised nobody changes a fact of theirs before this is committed.

    Raises _Changed where an edit since they were read makes a difference to the events; most make none.
    """
    with connection.cursor() as cursor:
        cursor.execute(CHANGED, [as_array({event.account for event in new})])
        stale = {account for account, changed in cursor.fetchall() if changed > accounts.version(account)}
    if not stale:
        return
    if not accounts.read_again(stale):
        raise _Changed
    for event in (each for each in new if each.account in stale):
        if accounts.window(event.account, event.charged_at_ms) != (event.window_start, event.window_end):
            raise _Changed


def _lock_lapsing_top_ups(new: Iterable[Event], accounts: Accounts) -> list[int]:
    """Top-ups that lapse after one of the events. Where somebody has counted what was spent of one, more was.

    Those that nobody has counted, too: who has counted without the events waits here, and then finds the fence raised.
    """
    rows = {row for event in new for row in accounts.top_ups_lapsing_after(event)}
    if not rows:
        return []
    locked = TokenTopUp.objects.filter(pk__in=rows).select_for_update().order_by("pk")
    return list(locked.values_list("pk", flat=True))
