"""The metering endpoints: where an account stands, charge and check a call made elsewhere, take a charge back."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ValidationError
from rest_framework.utils.mediatypes import media_type_matches

from billing.catalogue.in_memory import Catalogue
from billing.entitlements.api_keys import keys_of
from billing.entitlements.callers import Caller
from billing.http.json import NotJson, read_json
from billing.http.openapi import METERED, problem
from billing.http.problems import Problem
from billing.http.views import ApiView
from billing.models.entitlements.api_keys import prefix_in
from billing.rules.entitlements.entitlement import Metered
from billing.rules.instants import from_ms
from billing.rules.tokens.budgets import Budgets
from ratelimit.budgets import COUNTED
from ratelimit.limits import BudgetStanding
from usage.api.contract import ChargedByView, admission_of, caller_of, charge_of_work
from usage.api.serializers import (
    CheckRequest,
    CheckResponse,
    CurrentUsage,
    TrackRequest,
    TrackResponse,
)
from usage.drain import drain
from usage.log import events
from usage.metering import voiding
from usage.metering.admission import Admission
from usage.metering.admit import standing
from usage.metering.call import ChargeRequest
from usage.metering.quota import of_included, overage_of, percentage_used
from usage.metering.refusal import foresee_refusal
from usage.reports.suggestion import suggestion

BUDGETS_OF = OpenApiParameter(
    "key", str, description="What one of your keys begins with: `budgets` are those of that key. Default: who asks."
)


class Current(ApiView):
    """Tokens used in the present window, every call answered before included."""

    query_fields = frozenset({"key"})

    @extend_schema("getCurrentUsage", parameters=[BUDGETS_OF], responses=CurrentUsage)
    def get(self, request: Request, **_: Any) -> Response:
        admission = admission_of(request)
        return Response(current_usage(admission, budgets_asked(request, admission)))


def current_usage(admission: Admission, budgets: tuple[BudgetStanding, ...] | None = None) -> dict[str, Any]:
    """What is used and left of the present window, as it was when the call was decided; with the caller's budgets."""
    entitlement, quota = admission.snapshot.entitlement, admission.quota
    included = of_included(entitlement, quota)
    usage = {
        "tokens_used": quota.used,
        "quota": included.limit.maximum,
        "tokens_remaining": included.remaining,
        "quota_percentage": percentage_used(included),
        "overage": overage_of(entitlement, quota),
        "resets_at": entitlement.window.end,
        "plan": entitlement.plan.code or None,
        "suggestion": suggestion(admission.snapshot, quota.used, timezone.now()),
        "budgets": [
            {
                "budget": Budgets._fields[part],
                "limit": limit.maximum,
                "used": used,
                "resets_at": from_ms(limit.ends_at_ms) if part in COUNTED else None,
            }
            for part, (limit, used, _), _ in (admission.budgets if budgets is None else budgets)
        ],
    }
    return dict(CurrentUsage(usage).data)


def budgets_asked(request: Request, admission: Admission) -> tuple[BudgetStanding, ...]:
    """How the budgets stand of the key that the query names, or else of the key that asks.

    Raises ValidationError where the account has no such key.
    """
    if "key" not in request.query_params:
        return tuple(admission.budgets)
    account, named = admission.snapshot.facts.account, request.query_params["key"]
    is_text = named.isascii() and named.isprintable()
    key = keys_of(account).filter(prefix=prefix_in(named)).first() if is_text else None
    if key is None:
        raise ValidationError({"key": ["You have no such key."]})
    return tuple(standing(account, timezone.now(), key).budgets)


def charge_of_tracked_call(request: HttpRequest, catalogue: Catalogue) -> ChargeRequest:
    """The charge that a request to `/usage/track` names; none where the view is going to refuse the request."""
    serializer = TrackRequest(data=readable_json(request) if request.method == "POST" else None)
    if not serializer.is_valid():
        return ChargeRequest()
    given = serializer.validated_data
    charge = ChargeRequest(catalogue.features.get(given["feature"]), events.TRACK, given.get("metadata"))
    return charge.in_run(given["run"], lambda: request.body) if "run" in given else charge


def readable_json(request: HttpRequest) -> Any:
    """The body as the view is going to read it; None where the view is going to refuse it."""
    if not media_type_matches("application/json", request.META.get("CONTENT_TYPE", "")):
        return None
    try:
        return read_json(request.body)
    except (NotJson, RequestDataTooBig):
        return None


class Track(ApiView):
    """Charge a call made elsewhere: minute and tokens in one decision, taken before this view runs."""

    access = ChargedByView(charge_of=charge_of_tracked_call)

    @extend_schema("trackUsage", request=TrackRequest, responses=TrackResponse, extensions=METERED)
    def post(self, request: Request, **_: Any) -> Response:
        serializer = TrackRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        admission = admission_of(request)
        find_feature(serializer.validated_data["feature"], admission)
        if admission.event is None:
            raise UnsupportedMediaType(request.content_type)
        tracked = {
            "tokens_used": admission.event.tokens,
            "tokens_total": admission.quota.used,
            **_left(admission),
            "quota_exceeded": False,
            "event": admission.decision.event,
        }
        return Response(TrackResponse(tracked).data)


class Check(ApiView):
    """Whether a call of a feature would be admitted now. Spends no tokens; counts as a request, like any other."""

    @extend_schema("checkUsage", request=CheckRequest, responses=CheckResponse)
    def post(self, request: Request, **_: Any) -> Response:
        serializer = CheckRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response(check_feature(serializer.validated_data["feature"], admission_of(request)))


def check_feature(code: str, admission: Admission) -> dict[str, Any]:
    """Whether a call of the feature would be admitted now, and what it costs. Raises ValidationError."""
    feature = find_feature(code, admission)
    refused, retry_after = foresee_refusal(admission, feature)
    answer = {
        "allowed": refused is None,
        "code": refused,
        "cost": feature.tokens,
        **_left(admission),
        "retry_after": retry_after,
    }
    return dict(CheckResponse(answer).data)


VOIDED = [
    OpenApiParameter(
        "event", UUID, OpenApiParameter.PATH, description="As `/usage/track` or `/usage/authorize` gave it."
    ),
    OpenApiParameter(
        "account", int, description="Whose charge it is, as `X-Account-Id` had it: then no other's is given back."
    ),
]


class VoidEvent(ApiView):
    """Take back a charge that `/usage/track` or `/usage/authorize` has made, within an hour, once.

    Needs a key with the scope `meter`: it is the operator's, so it gives back what a proxy has asked for of every
    account; of `/usage/track`, what its own account was charged. Counts nothing against the minute.
    """

    access = ChargedByView(charge_of=charge_of_work)
    query_fields = frozenset({"account"})

    @extend_schema(
        "voidUsageEvent",
        parameters=VOIDED,
        request=None,
        responses={204: None} | problem(403, "forbidden", "not_voidable") | problem(409, "too_late", "already_voided"),
    )
    def delete(self, request: Request, event: str, **_: Any) -> Response:
        caller = caller_of(request)
        if not caller.may(voiding.METER_SCOPE):
            raise Problem(403, "forbidden", "This needs an API key with the scope `meter`, which staff issue.")
        try:
            self._void(request, caller, UUID(event))
        except voiding.EventNotFound:
            raise Problem(404, "not_found", "There is no such charge.") from None
        except voiding.NotVoidable:
            raise Problem(
                403,
                "not_voidable",
                "This was charged for a call that was served, or for usage that was reported: it stands.",
            ) from None
        except voiding.TooLate:
            raise Problem(409, "too_late", "A charge can be voided within an hour.") from None
        except drain.Behind as error:
            raise log_is_behind(error) from error
        except voiding.AlreadyVoided:
            raise Problem(409, "already_voided", "This charge was voided before.") from None
        return Response(status=204)

    def _void(self, request: Request, caller: Caller, charge: UUID) -> None:
        """Of the account that the query names; or else the caller's own charge, or one that a proxy has asked for."""
        now, named = timezone.now(), request.query_params.get("account")
        if named is not None:
            if not re.fullmatch(r"[0-9]{1,18}", named):
                raise ValidationError({"account": ["Give the number of an account."]})
            if int(named) != caller.account and int(named) != voiding.account_charged(charge, now):
                raise voiding.EventNotFound
            return voiding.void_tracked_charge(int(named), charge, now)
        try:
            voiding.void_tracked_charge(caller.account, charge, now)
        except voiding.EventNotFound:
            voiding.void_tracked_charge(voiding.account_charged(charge, now), charge, now)


def _left(admission: Admission) -> dict[str, Any]:
    """Of the quota, and what was used above it."""
    entitlement, quota = admission.snapshot.entitlement, admission.quota
    return {
        "tokens_remaining": of_included(entitlement, quota).remaining,
        "overage": overage_of(entitlement, quota),
    }


def find_feature(code: str, admission: Admission) -> Metered:
    """The feature of that code. Raises ValidationError, which lists those there are."""
    features = admission.snapshot.catalogue.features
    if code not in features:
        raise ValidationError({"feature": [f"Unknown feature. Known are: {', '.join(sorted(features))}."]})
    return features[code]


def log_is_behind(error: drain.Behind) -> Problem:
    """The 503 of what waits for the drain in vain."""
    return Problem(503, "unavailable", f"The usage log is behind: {error}")
