"""An answer as a response, whole or as a stream, with its reservation settled by what was used, once.

What the source reports counts, however the answer ends. Where it reports nothing, our own count of what the caller has
taken does, as an estimate.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from django.db import InterfaceError, OperationalError
from django.http import HttpResponse, StreamingHttpResponse

from billing.http.problems import Problem
from billing_site.agent.answer import Answer, AnswerFailed
from billing_site.agent.events import MEDIA_TYPE, error_event
from ratelimit.servers.single import RedisUnreachable
from usage.drain import drain
from usage.metering.reservations.ends import FAILED
from usage.metering.reservations.in_view import ViewReservation
from usage.metering.reservations.refusals import BoundExceeded, Over, ReservationRefused
from usage.metering.reservations.streaming import settling

logger = logging.getLogger(__name__)
RESERVED_SECONDS: Final = 600
"""Longer than the source may be silent, and than an answer that is no stream may take."""
EVENTS_A_HEARTBEAT: Final = 8
SECONDS_A_HEARTBEAT: Final = 30.0


def served_whole(answer: Answer, reservation: ViewReservation) -> HttpResponse:
    """Raises Problem where no answer comes, ReservationRefused where it cannot be settled."""
    with _settled_where_it_fails(answer, reservation):
        content = answer.whole()
    if answer.reported is None:
        reservation.settle(answer.seen, estimated=True)
    else:
        reservation.settle(answer.reported)
    return HttpResponse(content, content_type="application/json")


def served_as_stream(answer: Answer, reservation: ViewReservation) -> StreamingHttpResponse:
    """Raises Problem where the answer does not begin; what goes wrong later is an event."""
    events = answer.events()
    with _settled_where_it_fails(answer, reservation):
        first = next(events)
    followed = _telling(first, events, answer, reservation)
    settled = settling(followed, reservation, lambda: answer.reported, lambda: answer.seen)
    headers = {"X-Accel-Buffering": "no"}  # nginx would hold the events back
    return StreamingHttpResponse(_Stream(settled), content_type=MEDIA_TYPE, headers=headers)


@contextmanager
def _settled_where_it_fails(answer: Answer, reservation: ViewReservation) -> Iterator[None]:
    try:
        yield
    except AnswerFailed as failed:
        reservation.settle(answer.reported, outcome=FAILED)
        raise Problem(failed.status, failed.code, failed.detail) from failed


class _Stream:
    """The events, and where they break off one that says so: the client has got its 200 long ago."""

    def __init__(self, events: Iterator[bytes]) -> None:
        self._events = events

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._events)
        except AnswerFailed as error:
            code, detail = error.code, error.detail
        except BoundExceeded as refused:
            code, detail = refused.code, "The tokens do not suffice for more of the answer."
        except Over as refused:
            code, detail = refused.code, "What was reserved for the answer has ended."
        self._events = iter(())
        return error_event(code, detail)

    def close(self) -> None:
        if close := getattr(self._events, "close", None):
            close()


def _telling(first: bytes, events: Iterator[bytes], answer: Answer, reservation: ViewReservation) -> Iterator[bytes]:
    """The events, with a heartbeat after every few: it is what a process that dies leaves behind.

    Raises BoundExceeded where neither bound nor quota has what the answer needs, Over where somebody has ended it.
    """
    told_at = time.monotonic()
    try:
        yield first
        for count, event in enumerate(events, 1):
            if count % EVENTS_A_HEARTBEAT == 0 or time.monotonic() - told_at > SECONDS_A_HEARTBEAT:
                _heartbeat(answer, reservation)
                told_at = time.monotonic()
            yield event
    finally:
        events.close()  # type: ignore[attr-defined]  # a generator: the source stops, and counts no more


def _heartbeat(answer: Answer, reservation: ViewReservation) -> None:
    """Raises BoundExceeded, Over. What cannot be told at the moment stops no answer: the next heartbeat tells it."""
    try:
        reservation.heartbeat(answer.seen)
    except (BoundExceeded, Over):
        raise
    except (ReservationRefused, RedisUnreachable, OperationalError, InterfaceError, drain.Behind) as error:
        logger.warning("a heartbeat of reservation %s cannot be told: %s", reservation.id, error)
