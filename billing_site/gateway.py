"""The path of a request to the metered API, in one place: identify, admit, view, settle.

identify  who is calling: an API key, or the session (CSRF is checked here)     authentication.py
admit     one script, one Redis command: the fence, every limit, the charge
          and its audit event, all or nothing                                   usage/metering/admit.py
view      the endpoint's own work
settle    nothing after a success; after a failure (status >= 400 or an
          exception) one command gives the tokens back, not the minute          usage/metering/voiding.py

Everything under /api/v1/ goes through here, and every path that a route in the admin assigns to a feature. It decides
on the path that the resolver saw, after the view was found: what reaches no view costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from time import perf_counter
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from billing.catalogue import published
from billing.catalogue.published import Catalogue
from billing.entitlements.api_keys import CredentialsGone
from billing.http.idempotency import IDEMPOTENCY_KEY
from billing.models.catalogue import normalised_path
from billing.subscriptions.refusals import NoDefaultPlan
from billing_site import metrics, refusals
from billing_site.authentication import BadCredentials, CsrfFailed, Flooded, identify
from billing_site.idempotency import under_key
from usage.metering.admission import Admission
from usage.metering.admit import Unavailable, admit
from usage.metering.call import Charge
from usage.metering.voiding import void_failed_call

PREFIX = "/api/v1/"
_normalised = lru_cache(512)(normalised_path)


class Gateway:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            response = self.get_response(request)
        except BaseException:
            # No error of the view, which is a response by now: the worker itself is being stopped.
            settle(request, failed=True)
            raise
        admission = settle(request, failed=response.status_code >= 400)
        return response if admission is None else add_headers(response, admission)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        if getattr(view, "unmetered", False):
            return None
        view_class = getattr(view, "cls", None)
        path = _normalised(request.path_info)
        ours = f"{path}/".startswith(PREFIX)
        try:
            catalogue = published.catalogue() if ours else published.recent_catalogue()
            metered = catalogue.feature_at(request.method or "", path) is not None
            if not (ours or metered):
                return None
            caller = identify(request)
            if caller is None:
                public = not metered and getattr(view_class, "public", False)
                return None if public else refusals.unauthenticated(request)
            began = perf_counter()
            admission = admit(caller, lambda catalogue: charge_of(request, path, view_class, catalogue))
            metrics.count(admission, perf_counter() - began)
        except (BadCredentials, CredentialsGone):
            return refusals.unauthenticated(request)
        except CsrfFailed as error:
            return refusals.csrf_failed(request, str(error))
        except Flooded as error:
            return refusals.flooded(request, error.retry_after_seconds)
        except (Unavailable, OperationalError, InterfaceError, NoDefaultPlan) as error:
            return refusals.unavailable(request, error)
        request.caller, request.admission = caller, admission  # type: ignore[attr-defined]
        if not admission.admitted:
            return refusals.refuse(request, admission)
        bad_key = admission.charge.invalid_key
        return refusals.invalid_header(request, "Idempotency-Key", bad_key) if bad_key else None


def charge_of(request: HttpRequest, path: str, view_class: Any, catalogue: Catalogue) -> Charge:
    """What a call is charged for: the feature its path is routed to, or what the view itself makes of the request."""
    if request.method == "OPTIONS":
        return Charge()
    charge = Charge(catalogue.feature_at(request.method or "", path))
    if charge.feature is None and hasattr(view_class, "charge_of"):
        charge = view_class.charge_of(request, catalogue)
    if charge.feature is None or IDEMPOTENCY_KEY not in request.META:
        return charge
    return under_key(request, charge)


def settle(request: HttpRequest, *, failed: bool) -> Admission | None:
    admission: Admission | None = getattr(request, "admission", None)
    if admission is not None and failed:
        void_failed_call(admission)
    return admission


def add_headers(response: HttpResponseBase, admission: Admission) -> HttpResponseBase:
    """The headers of an identified caller's response."""
    # Beside `response[name] = value`, which looks at each character's encoding: these are ASCII as they are made here.
    headers = response.headers._store
    admission.call.kind.policies.write(headers, admission.standings, admission.decision.now_ms)
    headers["cache-control"] = "Cache-Control", "no-store"
    if admission.charge.feature is not None:
        headers["x-usage-cost"] = "X-Usage-Cost", str(admission.cost)
        if admission.admitted:
            headers["x-usage-event"] = "X-Usage-Event", admission.decision.event
        if admission.replayed:
            headers["idempotency-replayed"] = "Idempotency-Replayed", "true"
    return response
