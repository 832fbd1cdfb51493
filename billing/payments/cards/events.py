"""What the provider tells: kept once, however often it is told, then processed by a task.

An event is only the reason to look: its object is fetched, and what it is now is applied (`objects`). So events may
come twice, in any order, or by the poll alone.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q

from billing.models import ProviderEvent, ProviderPoll
from billing.payments.cards.answers import Answered, BadEvent, Event, NotApplicable, Rejected
from billing.payments.cards.gateway import Gateway
from billing.payments.cards.objects import OBJECT_TYPES

State = ProviderEvent.State
LEASE = timedelta(minutes=2)
"""So long nobody else takes an event that is being processed. Above what a few calls to the provider take."""
RETRIES = (1, 2, 5, 15, 30, 60, 120, 240, 480, 720)
"""Minutes before each next try; after the last one it is given up. About a day in all."""
AT_ONCE = 200
FIRST_POLL = timedelta(days=3)
OVERLAP = timedelta(hours=1)
"""A poll looks back so far beyond the last one: an event may be listed later than it is dated."""
KEPT_FOR = timedelta(days=90)
"""Of what is done. Providers list their events for 30 days, and send them for three."""
PURGE_BATCH = 10_000
LATE_AFTER = timedelta(minutes=15)
"""An event that waits longer than this is a fault that operators are told of."""
NULL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""As JSON writes it; not the text of a backslash and what follows."""
logger = logging.getLogger(__name__)


def keep(gateway: Gateway, event: Event, now: datetime) -> ProviderEvent | None:
    """Its row; None where it was told before. Raises BadEvent where it is of the other mode, live or test."""
    if event.is_live != gateway.is_live:
        raise BadEvent(f"it is of {_mode(event.is_live)} mode, and this site charges in {_mode(gateway.is_live)} mode")
    row, is_new = ProviderEvent.objects.get_or_create(
        provider=gateway.name,
        reference=event.reference[:255],
        defaults={
            "type": event.type[:100],
            "object_type": event.object_type[:100],
            "object_reference": event.object_reference[:255],
            "is_live": event.is_live,
            "created_at": event.created_at,
            "received_at": now,
            "payload": _storable(event),
        },
    )
    return row if is_new else None


def process(gateway: Gateway, row: int, now: datetime) -> None:
    """Fetch the object of an event and apply it. What cannot be fetched now is tried again later.

    One that is processed, or being processed, is left alone.
    """
    mine = ProviderEvent.objects.filter(pk=row, provider=gateway.name, is_live=gateway.is_live, state=State.RECEIVED)
    free = mine.filter(Q(next_try_at=None) | Q(next_try_at__lte=now))
    if not free.update(tries=F("tries") + 1, next_try_at=now + LEASE):
        return
    event = mine.get()
    try:
        _apply(gateway, event, now)
    except NotApplicable as error:
        _end(event, State.FAILED, now, str(error))
    except _Later as error:
        _put_off(event, now, str(error))
    except Exception as error:  # a defect, or PostgreSQL: it waits until that is mended
        logger.exception("event %s cannot be applied", event)
        _put_off(event, now, f"{type(error).__name__}: {error}")
    else:
        _end(event, State.DONE, now)


def process_again(event: ProviderEvent) -> bool:
    """Of one that was given up, or waits for its next try: it is due at once. False where it is done."""
    unfinished = ProviderEvent.objects.filter(pk=event.pk).exclude(state=State.DONE)
    return bool(unfinished.update(state=State.RECEIVED, tries=0, next_try_at=None, processed_at=None))


def process_waiting(gateway: Gateway, now: datetime, goes_on: Callable[[], bool] = lambda: True) -> int:
    """Those whose task was lost or did not succeed, while it `goes_on`; returns how many were tried."""
    waiting = ProviderEvent.objects.filter(provider=gateway.name, is_live=gateway.is_live, state=State.RECEIVED)
    due = waiting.filter(Q(next_try_at=None) | Q(next_try_at__lte=now)).order_by("received_at", "pk")
    tried = 0
    for row in due.values_list("pk", flat=True)[:AT_ONCE]:
        if not goes_on():
            break
        process(gateway, row, now)
        tried += 1
    return tried


def poll(gateway: Gateway, now: datetime) -> int:
    """Ask for what the provider had to tell since the last poll; returns how many events were not known.

    Only those about objects that something is done with are kept.
    """
    ours: dict[str, Any] = {"provider": gateway.name, "is_live": gateway.is_live}
    last = ProviderPoll.objects.filter(**ours).first()
    since = last.polled_at - OVERLAP if last else now - FIRST_POLL
    answer = gateway.events_since(since)
    if not isinstance(answer, Answered):
        logger.warning("the provider's events could not be listed: %s", answer)
        return 0
    new = [keep(gateway, event, now) for event in answer.value if event.object_type in OBJECT_TYPES]
    ProviderPoll.objects.update_or_create(**ours, defaults={"polled_at": now})
    return sum(row is not None for row in new)


def purge(now: datetime) -> int:
    """Forget what was done long ago: its provider does not tell it again. Returns how many."""
    deleted = 0
    while True:
        old = ProviderEvent.objects.filter(state=State.DONE, received_at__lte=now - KEPT_FOR).order_by("pk")
        batch, _ = ProviderEvent.objects.filter(pk__in=list(old.values_list("pk", flat=True)[:PURGE_BATCH])).delete()
        deleted += batch
        if batch < PURGE_BATCH:
            return deleted


def late(now: datetime) -> int:
    """How many events have waited for too long."""
    return ProviderEvent.objects.filter(state=State.RECEIVED, received_at__lt=now - LATE_AFTER).count()


def failed() -> int:
    """How many events were given up, and nobody has looked after."""
    return ProviderEvent.objects.filter(state=State.FAILED).count()


class _Later(Exception):
    """Nobody knows now."""


def _apply(gateway: Gateway, event: ProviderEvent, now: datetime) -> None:
    """Raises _Later, and what applying the object raises."""
    object_type = OBJECT_TYPES.get(event.object_type)
    if object_type is None:
        return
    answer = object_type.fetch(gateway, event.object_reference)
    if isinstance(answer, Answered):
        object_type.apply(gateway, answer.value, now)
    elif isinstance(answer, Rejected):
        reason = "knows no such object" if answer.is_missing else f"does not give the object: {answer.message}"
        raise NotApplicable(f"The provider {reason}.")
    else:
        raise _Later(str(answer))


def _end(event: ProviderEvent, state: State, now: datetime, error: str = "") -> None:
    """What was told is needed no more once it is done, and may name a person."""
    gone: dict[str, Any] = {"payload": {}} if state == State.DONE else {}
    ended = {"state": state, "error": error[:500], "processed_at": now, "next_try_at": None, **gone}
    ProviderEvent.objects.filter(pk=event.pk, state=State.RECEIVED).update(**ended)
    if error:
        logger.error("event %s is given up: %s", event, error)


def _put_off(event: ProviderEvent, now: datetime, error: str) -> None:
    if event.tries > len(RETRIES):
        _end(event, State.FAILED, now, error)
        return
    at = now + timedelta(minutes=RETRIES[event.tries - 1])
    ProviderEvent.objects.filter(pk=event.pk, state=State.RECEIVED).update(next_try_at=at, error=error[:500])
    logger.warning("event %s is tried again at %s: %s", event, at, error)


def _storable(event: Event) -> object:
    """What PostgreSQL's JSON takes: every character but one, and no halves."""
    text = json.dumps(event.payload, default=str, ensure_ascii=False).encode(errors="replace").decode()
    return json.loads(NULL.sub(r"\1", text))


def _mode(is_live: bool) -> str:
    return "live" if is_live else "test"
