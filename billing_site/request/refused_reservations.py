"""A reservation that is refused to a view is the view's answer, unless the view makes another one of it."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.serializers import ValidationError

from billing.http import problems
from billing.http.problems import Problem
from billing.rules.tokens.model_prices import WrongUnits
from billing_site.request import refusals
from usage.api import reservation_sentences
from usage.metering.admit import Unavailable
from usage.metering.reservations.refusals import NotAdmitted, ReservationRefused


class RefusedReservations:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, NotAdmitted):
            return refusals.refuse(request, error.admission)
        if isinstance(error, Unavailable):
            return refusals.unavailable(request, error)
        if not isinstance(error, ReservationRefused | WrongUnits):
            return None
        try:
            with reservation_sentences.problems():
                raise error
        except Problem as problem:
            detail = str(problem.detail)
            return problems.respond(request, problem.status_code, problem.code, detail, **problem.members)
        except ValidationError as invalid:
            errors = {name: [str(text) for text in texts] for name, texts in invalid.detail.items()}  # type: ignore[union-attr]
            return problems.respond(request, 400, "invalid", "The request is not valid.", errors=errors)
