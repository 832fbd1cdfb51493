"""Reservations over HTTP: opened by the gateway as a charge, then settled or released by who has the work done.

They need a key of the scope `meter`: who pays must not say what was used.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from billing.http.openapi import METERED, either, problem
from billing.http.pagination import NewestFirst
from billing.http.problems import Problem
from billing.http.views import ApiView, account_of
from billing.rules.instants import from_ms
from usage.api.contract import ChargedByView, admission_of, caller_of, charge_of_work
from usage.api.reservation_charges import asked_of, charge_of_reservation
from usage.api.reservation_sentences import problems
from usage.api.reservation_serializers import (
    HeartbeatRequest,
    ReservationQuery,
    ReservationSerializer,
    ReservedResponse,
    ReserveRequest,
    SettledResponse,
    SettleRequest,
)
from usage.api.views import find_feature, log_is_behind
from usage.drain import drain
from usage.metering.quota import of_included
from usage.metering.reservations import finishing, opening, progress
from usage.metering.reservations.ends import Report, Settlement
from usage.metering.reservations.held import Held, find
from usage.metering.voiding import METER_SCOPE
from usage.models import Reservation

RESERVATION = OpenApiParameter("reservation", UUID, OpenApiParameter.PATH)
NEEDS_SCOPE = problem(403, "forbidden") | problem(404, "not_found")
OVER = either(
    problem(
        409,
        "already_settled",
        "reservation_expired",
        state={"type": "string", "enum": ["settled", "released", "expired"]},
        tokens_charged={"type": "integer", "minimum": 0},
    ),
    problem(409, "children_open", open={"type": "integer", "minimum": 1}),
)
EXCEEDED = problem(
    429,
    "bound_exceeded",
    **{
        "violated-policies": {"type": "array", "items": {"enum": ["quota", "parent"]}},
        "tokens_reserved": {"type": "integer", "minimum": 0},
        "tokens_lacking": {"type": "integer", "minimum": 1},
        "tokens_remaining": {"oneOf": [{"type": "integer", "minimum": 0}, {"const": "unlimited"}]},
        "affordable": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}},
        "retry_after": {"type": "null"},
    },
)


class ReservationPages(NewestFirst):
    ordering = ("-opened_at", "-id")


class Reservations(ApiView, ListAPIView[Reservation]):
    """Hold what a call may cost at most, before it is made; and the list of what was held."""

    access = ChargedByView(charge_of=charge_of_reservation)
    FILTERS = ("state", "run")
    query_fields = frozenset({*FILTERS, "cursor", "limit"})
    serializer_class = ReservationSerializer
    pagination_class = ReservationPages

    @extend_schema(
        "reserveUsage",
        request=ReserveRequest,
        responses={201: ReservedResponse} | problem(403, "forbidden") | EXCEEDED,
        extensions=METERED,
    )
    def post(self, request: Request, **_: Any) -> Response:
        return Response(reserved(request, request.data, request.content_type), status=201)

    @extend_schema(
        "listReservations",
        parameters=[ReservationQuery],
        responses={200: ReservationSerializer(many=True)} | problem(403, "forbidden"),
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        needs_meter(request)
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[Reservation]:
        if getattr(self, "swagger_fake_view", False):
            return Reservation.objects.none()
        given = self.request.query_params
        query = ReservationQuery(data={name: given[name] for name in self.FILTERS if name in given})
        query.is_valid(raise_exception=True)
        _catch_up(account_of(self.request))
        return Reservation.objects.filter(account=account_of(self.request), **query.validated_data)


def reserved(request: HttpRequest | Request, data: Any, content_type: str) -> dict[str, Any]:
    """What the gateway has reserved by `charge_of_asked`. Raises Problem, ValidationError, UnsupportedMediaType."""
    needs_meter(request)
    serializer = ReserveRequest(data=data)
    serializer.is_valid(raise_exception=True)
    asked, admission = asked_of(serializer.validated_data), admission_of(request)
    find_feature(asked.feature, admission)
    with problems():
        if admission.event is None:  # why not?
            catalogue = admission.snapshot.catalogue
            opening.charge_request(asked, catalogue, timezone.now(), account=admission.snapshot.facts.account)
            raise UnsupportedMediaType(content_type)
        held, drawn = opening.opened(admission, asked, timezone.now())
    answer = {
        "reservation": held.id,
        "tokens_reserved": held.charge.tokens if drawn is None else drawn.bound,
        "expires_at": from_ms((held.charge.metadata or {})["expires_at"] if drawn is None else drawn.expires_at_ms),
        "tokens_remaining": _remaining(request, held, admission.quota.used),
    }
    return dict(ReservedResponse(answer).data)


class OneReservation(ApiView):
    """One that is held: how it stands, a heartbeat, its release."""

    access = ChargedByView(charge_of=charge_of_work)

    @extend_schema("getReservation", parameters=[RESERVATION], responses={200: ReservationSerializer} | NEEDS_SCOPE)
    def get(self, request: Request, reservation: str, **_: Any) -> Response:
        needs_meter(request)
        _catch_up(account_of(request))
        row = Reservation.objects.filter(pk=reservation, account=account_of(request)).first()
        if row is None:
            raise Problem(404, "not_found", "You have no such reservation.")
        return Response(ReservationSerializer(row).data)

    @extend_schema(
        "prolongReservation",
        parameters=[RESERVATION],
        request=HeartbeatRequest,
        responses={200: ReservedResponse} | NEEDS_SCOPE | OVER | EXCEEDED,
    )
    def patch(self, request: Request, reservation: str, **_: Any) -> Response:
        serializer = HeartbeatRequest(data=request.data)
        held = _held(request, reservation)
        serializer.is_valid(raise_exception=True)
        given = serializer.validated_data
        life_ms = given["expires_in"] * 1000 if "expires_in" in given else None
        with problems():
            moved = progress.heartbeat(held, _used(given) or {}, timezone.now(), life_ms)
        answer = {
            "reservation": held.id,
            "tokens_reserved": moved.bound,
            "expires_at": from_ms(moved.expires_at_ms),
            "tokens_remaining": _remaining(request, held, moved.used),
        }
        return Response(ReservedResponse(answer).data)

    @extend_schema(
        "releaseReservation", parameters=[RESERVATION], request=None, responses={204: None} | NEEDS_SCOPE | OVER
    )
    def delete(self, request: Request, reservation: str, **_: Any) -> Response:
        released(request, reservation)
        return Response(status=204)


def released(request: HttpRequest | Request, reservation: str) -> dict[str, Any]:
    """Give a reservation back. Raises Problem."""
    held = _held(request, reservation)
    with problems():
        done = finishing.release(held, timezone.now())
    return dict(SettledResponse(_said(done, _remaining(request, held, done.used))).data)


class Settle(ApiView):
    """Charge what was used of a reservation, and give back the rest; the same again is answered as before."""

    access = ChargedByView(charge_of=charge_of_work)

    @extend_schema(
        "settleReservation",
        parameters=[RESERVATION],
        request=SettleRequest,
        responses={200: SettledResponse} | NEEDS_SCOPE | OVER,
    )
    def post(self, request: Request, reservation: str, **_: Any) -> Response:
        return Response(settled(request, reservation, request.data))


def settled(request: HttpRequest | Request, reservation: str, data: Any) -> dict[str, Any]:
    """Settle a reservation by what `data` says, as SettleRequest has it. Raises Problem, ValidationError."""
    serializer = SettleRequest(data=data)
    held = _held(request, reservation)
    serializer.is_valid(raise_exception=True)
    given = serializer.validated_data
    with problems():
        done = finishing.settle(held, Report(_used(given), given["outcome"], given["estimated"]), timezone.now())
    return dict(SettledResponse(_said(done, _remaining(request, held, done.used))).data)


def _said(done: Settlement, remaining: int | None) -> dict[str, Any]:
    return {
        "state": done.state,
        "tokens_charged": done.charged,
        "tokens_released": done.released,
        "tokens_uncollected": done.uncollected,
        "tokens_remaining": remaining,
    }


def _used(given: dict[str, Any]) -> dict[str, Any] | None:
    if "tokens" in given:
        return {"tokens": given["tokens"]}
    units: dict[str, Any] | None = given.get("units")
    return units


def needs_meter(request: HttpRequest | Request) -> None:
    """Raises Problem (403) unless the caller's key may meter."""
    if not caller_of(request).may(METER_SCOPE):
        raise Problem(403, "forbidden", "This needs an API key with the scope `meter`, which staff issue.")


def _held(request: HttpRequest | Request, reservation: str) -> Held:
    needs_meter(request)
    with problems():
        return find(caller_of(request).account, reservation)


def _remaining(request: HttpRequest | Request, held: Held, used: int) -> int | None:
    """Of what is included, with so much used of the reservation's window; the headers say it of the present one."""
    admission = admission_of(request)
    if held.window.starts_at_ms == admission.quota.limit.starts_at_ms:
        admission.note_used(used)
    return of_included(admission.snapshot.entitlement, admission.quota._replace(used=used)).remaining


def _catch_up(account: int) -> None:
    try:
        drain.catch_up(account)
    except drain.Behind as error:
        raise log_is_behind(error) from error
