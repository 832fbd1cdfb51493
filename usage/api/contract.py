"""Between the gateway and a view: what a call is charged for, and what is known of it afterwards.

billing.http.access has the part of it that knows nothing of charges: `Access`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from billing.catalogue.in_memory import Catalogue
from billing.entitlements.callers import Caller
from billing.http.access import UNDECLARED, Access
from ratelimit.headers import write_budgets
from usage.metering.admission import Admission
from usage.metering.call import ChargeRequest
from usage.metering.retry_after import waits_for_more
from usage.metering.voiding import METER_SCOPE

WORK: Final = frozenset({"POST", "PATCH", "DELETE"})
ChargeOf: TypeAlias = Callable[[Catalogue], ChargeRequest]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargedByView(Access):
    """The access of a view whose requests name what they are charged for; a feature of their path goes first."""

    charges: ClassVar[bool] = True
    charge_of: Callable[[HttpRequest, Catalogue], ChargeRequest]
    """The gateway calls it before the view runs, and again when the catalogue was stale."""


def charge_at(
    method: str, path: str, catalogue: Catalogue, access: Access = UNDECLARED, request: HttpRequest | None = None
) -> ChargeRequest:
    """What a request is charged for by its method and normalised path, or else by the view that is about to run.

    `access` and `request` are the view's; without them the path alone counts. OPTIONS is not metered. Capabilities
    that the view needs are asked for in either case.
    """
    is_metered = method != "OPTIONS"
    feature = catalogue.feature_at(method, path) if is_metered else None
    if is_metered and feature is None and isinstance(access, ChargedByView) and request is not None:
        charge = access.charge_of(request, catalogue)
    else:
        charge = ChargeRequest(feature)
    return charge._replace(capabilities=access.capabilities) if access.capabilities else charge


def charge_of_work(request: HttpRequest, _: Catalogue) -> ChargeRequest:
    """Nothing, not even a request of the minute, of a POST, PATCH or DELETE under the scope `meter`; else one request.

    Or the customer, who fills the minute, would keep what was reserved from being settled, what failed from being given
    back, and what happened from being reported.
    """
    return ChargeRequest(counts=request.method not in WORK or not may_ask(request, METER_SCOPE))


def attach(request: HttpRequest, caller: Caller, admission: Admission) -> None:
    """Attach who called and how the call was decided on."""
    request.caller, request.admission = caller, admission  # type: ignore[attr-defined]


def may_ask(request: HttpRequest, scope: str) -> bool:
    """Whether the caller's key has the scope, for `charge_of`, which is asked before the call is decided on."""
    identified: Caller = request.identified  # type: ignore[attr-defined]
    return identified.may(scope)


def find_caller(request: HttpRequest | Request) -> Caller | None:
    """Who called; None where the gateway has identified nobody."""
    caller: Caller | None = getattr(request, "caller", None)
    return caller


def find_admission(request: HttpRequest | Request) -> Admission | None:
    """How the call was decided on; None where the gateway has decided on none."""
    admission: Admission | None = getattr(request, "admission", None)
    return admission


def caller_of(request: HttpRequest | Request) -> Caller:
    """Who called, in a view that is not public."""
    caller = find_caller(request)
    assert caller is not None, "the gateway has identified nobody"
    return caller


def admission_of(request: HttpRequest | Request) -> Admission:
    """How the call was decided on, in a view that is not public."""
    admission = find_admission(request)
    assert admission is not None, "the gateway has decided on no call"
    return admission


def mark_failed(response: HttpResponseBase) -> None:
    """Say of an answer below 400 that its body tells of a failure, as MCP's do: the call costs nothing."""
    response.is_failure = True  # type: ignore[attr-defined]


def may_have_failed(response: HttpResponseBase | None) -> bool:
    """Whether it has to be looked at: most answers are a success by their status."""
    return response is None or response.status_code >= 300 or hasattr(response, "is_failure")


def add_headers(response: HttpResponseBase, admission: Admission) -> HttpResponseBase:
    """The headers of an identified caller's response: where each limit stands, and what the call cost."""
    # Beside `response[name] = value`, which looks at each character's encoding: these are ASCII as they are made here.
    headers = response.headers._store
    template = admission.call.template
    waits_ms = None if template.ahead is None else waits_for_more(admission)
    template.headers.write(headers, admission.standings, admission.decision.now_ms, waits_ms)
    if admission.budgets:
        write_budgets(headers, admission.budgets)
    headers["cache-control"] = "Cache-Control", "no-store"
    if admission.request.feature is not None:
        headers["x-usage-cost"] = "X-Usage-Cost", str(admission.cost)
        if admission.admitted or admission.replayed:
            headers["x-usage-event"] = "X-Usage-Event", admission.decision.event
        if admission.replayed:
            headers["idempotency-replayed"] = "Idempotency-Replayed", "true"
    elif admission.request.invalid_key:  # of a metered call, which is charged nothing for it
        headers["x-usage-cost"] = "X-Usage-Cost", "0"
    return response
