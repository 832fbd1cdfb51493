"""Usage that has happened elsewhere, by batches: `POST /usage/events`. It needs a key of the scope `meter`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ValidationError

from billing.http.fields import refuse_unknown
from billing.http.json import NotJson, parse_json
from billing.http.openapi import problem
from billing.http.problems import Problem
from billing.http.views import ApiView
from billing.rules.instants import to_ms
from usage.api.contract import ChargedByView, caller_of, charge_of_work
from usage.api.event_reading import Unreadable, read_cloud_event, read_plain
from usage.api.event_sentences import sentence
from usage.api.event_serializers import (
    CLOUD_EVENT_SCHEMA,
    CLOUD_EVENTS_SCHEMA,
    INVALID,
    MOST_EVENTS,
    EventsRequest,
    EventsResponse,
)
from usage.api.reservation_views import needs_meter
from usage.ingest import record
from usage.ingest.reported import Reported

Reader = Callable[[Any, int, int], "Reported | Unreadable"]


class Batch(NamedTuple):
    """What a body holds: events, and how each of them is read."""

    events: list[Any]
    read: Reader


class _BatchParser(BaseParser):
    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            events = self.events_of(parse_json(stream.read()))
        except NotJson as error:
            raise ParseError(f"JSON parse error - {error}.") from None
        if len(events) > MOST_EVENTS:
            raise ValidationError({"events": [f"At most {MOST_EVENTS:,} events; these are {len(events):,}."]})
        return Batch(events, self.read)

    def events_of(self, body: Any) -> list[Any]:
        if not isinstance(body, list):
            raise ValidationError({"events": ["Give a list of events."]})
        return body

    def read(self, event: Any, own: int, now_ms: int) -> Reported | Unreadable:
        return read_cloud_event(event, own, now_ms)


class PlainParser(_BatchParser):
    media_type = "application/json"

    def events_of(self, body: Any) -> list[Any]:
        if not isinstance(body, dict):
            raise ValidationError({"events": ["Give an object with the list `events`."]})
        refuse_unknown("field", (ascii(name) for name in body if name != "events"), ["events"])
        return super().events_of(body.get("events"))

    def read(self, event: Any, own: int, now_ms: int) -> Reported | Unreadable:
        return read_plain(event, own, now_ms)


class CloudEventsParser(_BatchParser):
    media_type = "application/cloudevents-batch+json"


class CloudEventParser(CloudEventsParser):
    """One event by itself."""

    media_type = "application/cloudevents+json"

    def events_of(self, body: Any) -> list[Any]:
        if not isinstance(body, dict):
            raise ValidationError({"events": [f"Give one event; a list is {CloudEventsParser.media_type}."]})
        return [body]


class Events(ApiView):
    """Report usage that has happened, in a batch.

    Each event counts once, however often it is sent, and no limit refuses it: the next call is judged with it.
    Counts nothing against the minute. The key acts for every account: it belongs to the operator's own servers.
    """

    access = ChargedByView(charge_of=charge_of_work)
    parser_classes = [PlainParser, CloudEventsParser, CloudEventParser]

    @extend_schema(
        "reportEvents",
        request={
            PlainParser.media_type: EventsRequest,
            CloudEventsParser.media_type: CLOUD_EVENTS_SCHEMA,
            CloudEventParser.media_type: CLOUD_EVENT_SCHEMA,
        },
        responses={200: EventsResponse} | problem(403, "forbidden"),
    )
    def post(self, request: Request, **_: Any) -> Response:
        needs_meter(request)
        return Response(EventsResponse(reported(request, _batch(request))).data)


def _batch(request: Request) -> Batch:
    if request.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
        raise Problem(415, "unsupported_media_type", "Send the body as it is, without a Content-Encoding.")
    _ = request._request.body  # read within its limit of size, which REST framework's own reading has not
    given = request.data
    if not isinstance(given, Batch):  # there is no body
        raise ValidationError({"events": ["Give a list of events."]})
    return given


def reported(request: Request, batch: Batch) -> dict[str, Any]:
    """Record what can be read, and say what became of each. Raises Problem."""
    now, caller = timezone.now(), caller_of(request)
    read = [batch.read(event, caller.account, to_ms(now)) for event in batch.events]
    places = [place for place, event in enumerate(read) if isinstance(event, Reported)]
    try:
        done = record.ingest([event for event in read if isinstance(event, Reported)], caller.key_prefix, now)
    except record.Busy:
        raise Problem(503, "unavailable", "The accounts are being changed. Send the events again.") from None
    rejected = [
        {"index": place, "id": event.id, "code": INVALID, "detail": event.why}
        for place, event in enumerate(read)
        if isinstance(event, Unreadable)
    ]
    for at, reason in done.rejected.items():
        place = places[at]
        rejected.append({"index": place, "id": read[place].id, "code": reason, "detail": sentence(reason)})
    return {
        "accepted": done.accepted,
        "duplicates": done.duplicates,
        "rejected": sorted(rejected, key=lambda each: each["index"]),
        "over_quota": done.over_quota,
    }
