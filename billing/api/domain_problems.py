"""A request's body as the domain takes it, and what the domain refuses as the contract's problems."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rest_framework.request import Request
from rest_framework.serializers import ValidationError

from billing.api.sentences import to_customer
from billing.documents.issued import NoDocument
from billing.http.fields import StrictSerializer
from billing.http.problems import Problem
from billing.rules.plan_change import OnlyAtPeriodEnd
from billing.subscriptions import refusals

R = TypeVar("R", bound=StrictSerializer)
STATUSES = {
    "not_an_upgrade": 400,
    "not_a_downgrade": 400,
    "active_features": 400,
    "no_subscription": 404,
    "nothing_scheduled": 409,
    "nothing_to_top_up": 409,
    "no_overage": 409,
    "nothing_to_cancel": 409,
    "no_coupon": 409,
    "quote_expired": 409,
}
"""By the refusal's code."""
CODES = {"no_subscription": "not_found"}
"""The contract's, where it has another one. To be under review has none of its own either: it is `forbidden`."""


def asked(serializer: type[R], request: Request) -> dict[str, Any]:
    """The request's body, checked. Raises ValidationError."""
    return checked(serializer, request.data)


def checked(serializer: type[R], data: Any) -> dict[str, Any]:
    """What was asked for, checked. Raises ValidationError."""
    given = serializer(data=data)
    given.is_valid(raise_exception=True)
    valid: dict[str, Any] = given.validated_data
    return valid


@contextmanager
def as_problems() -> Iterator[None]:
    """What the domain refuses, as the contract's problems."""
    try:
        yield
    except OnlyAtPeriodEnd as error:
        raise ValidationError({error.field: [to_customer(error)]}) from None
    except refusals.UnderReview as error:
        raise Problem(403, "forbidden", to_customer(error)) from None
    except refusals.CouponInvalid as error:
        raise Problem(400, error.code, to_customer(error), reason=error.parameters["reason"]) from None
    except refusals.PlanChangeRefused as error:
        status, detail = STATUSES[error.code], to_customer(error)
        members: dict[str, Any] = {"errors": {"target_plan": [detail]}} if status == 400 else {}
        if isinstance(error, refusals.ActiveFeatures):
            members["active_features"] = error.capabilities
        raise Problem(status, CODES.get(error.code, error.code), detail, **members) from None
    except NoDocument as error:
        raise Problem(409, error.code, to_customer(error)) from None
    except refusals.ActivityUnknown as error:
        raise Problem(503, "unavailable", to_customer(error)) from error
