"""The path of a request to the metered API, in one place: identify, admit, view, settle.

identify  who is calling: an API key, or the session (CSRF is checked here)     authentication.py
admit     one script, one Redis command: the fence, every limit, the charge
          and its audit event, all or nothing                                   usage/metering/admit.py
view      the endpoint's own work
settle    an answer under an Idempotency-Key is kept; after a failure (status
          >= 400) one command gives the tokens back, not the minute             usage/metering/voiding.py

Everything under /api/v1/ goes through here, every path that a route in the admin assigns to a feature, and each view
that billing_site.metered decorates. It decides on the path that the resolver saw: what reaches no view costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from time import perf_counter
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase

from billing.catalogue import in_memory
from billing.entitlements import last_used
from billing.entitlements.callers import BadCredentials
from billing.http.access import access_of
from billing.models.catalogue.features import normalised_path
from billing_site.operations import metrics
from billing_site.request import chunked, options, refusals
from billing_site.request.authentication import CsrfFailed, Flooded, identify
from billing_site.request.charge_headers import by_headers
from billing_site.request.request_user import has_failed
from usage.api.contract import ChargeOf, add_headers, attach, charge_at, find_admission, may_have_failed
from usage.metering import kept_answers
from usage.metering.admission import Admission
from usage.metering.admit import Unavailable, admit
from usage.metering.call import ChargeRequest
from usage.metering.voiding import void_failed_call

PREFIX = "/api/v1/"
_normalised = lru_cache(512)(normalised_path)


class Gateway:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            response = self.get_response(request)
        except BaseException:  # no error of the view, which is a response by now: the worker itself is being stopped
            _settle(request, None)
            raise
        return response if (admission := _settle(request, response)) is None else add_headers(response, admission)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        method, path = request.method or "", _normalised(request.path_info)
        if (access := access_of(view, method)).ungated:
            return None
        if chunked.HEADER in request.META and (refusal := chunked.give_a_length(request)):
            return refusal
        ours, public = access.gated or f"{path}/".startswith(PREFIX), False
        if access.public or not ours:  # of all others the admission finds out what they are metered as
            try:
                catalogue = in_memory.catalogue() if ours else in_memory.recent_catalogue()
            except (OperationalError, InterfaceError) as error:
                return refusals.unavailable(request, error)
            if (public := catalogue.feature_at(method, path) is None) and not ours:
                return None

        def charge_of(catalogue: in_memory.Catalogue) -> ChargeRequest:
            charge = charge_at(method, path, catalogue, access, request)
            return by_headers(request, charge) if charge.feature else charge

        return admit_by(request, charge_of, public=public) or (None if public else options.answer(request, view))


def admit_for(request: HttpRequest, method: str, path: str) -> HttpResponse | None:
    """Admit the caller of `request` for another request, of which a door says method and path; None, or the refusal.

    The door's own view is `ungated`; its response settles the charge and gets the headers. An Idempotency-Key does not
    apply: it names a request whose body the door does not have.
    """
    assert find_admission(request) is None, "the gateway has admitted the door's own request: its view is not ungated"
    path = _normalised(path)
    return admit_by(request, lambda catalogue: charge_at(method, path, catalogue))


def admit_by(request: HttpRequest, charge_of: ChargeOf, *, public: bool = False) -> HttpResponse | None:
    """Identify the caller and admit the call; None, or the refusal."""
    try:
        caller = identify(request)
        if caller is None:
            return None if public else refusals.unauthenticated(request, "missing")
        request.identified = caller  # type: ignore[attr-defined]
        began = perf_counter()
        admission = admit(caller, charge_of)
        metrics.count(admission, perf_counter() - began)
    except (BadCredentials, CsrfFailed, Flooded) as error:
        return refusals.turned_away(request, error)
    except (Unavailable, OperationalError, InterfaceError) as error:
        return refusals.unavailable(request, error)
    last_used.note(caller.key_prefix)
    attach(request, caller, admission)
    if admission.answer is not None:
        return kept_answers.given_again(admission.answer)
    if not admission.admitted:
        return refusals.refuse(request, admission)
    bad = admission.request.invalid_key
    return refusals.invalid_header(request, admission.request.invalid_name, bad) if bad else None


def _settle(request: HttpRequest, response: HttpResponseBase | None) -> Admission | None:
    admission = find_admission(request)
    if admission is not None and may_have_failed(response) and has_failed(request, response):
        void_failed_call(admission)
    elif admission is not None and admission.call.keyed is not None:
        kept_answers.keep(admission, response)
    return admission
