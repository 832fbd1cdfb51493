"""Refusals of reservations as problems: status, code, sentence, and what belongs to the code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rest_framework.serializers import ValidationError

from billing.api.sentences import to_customer
from billing.http.error_codes import ERRORS
from billing.http.problems import Problem
from billing.rules.tokens.model_prices import WrongUnits
from ratelimit.servers.single import RedisUnreachable
from usage.drain import drain
from usage.metering.reservations.refusals import (
    BoundExceeded,
    ChildrenOpen,
    NoParent,
    NotAdmitted,
    NotFound,
    Over,
    Repeated,
    ReservationRefused,
)

INVALID = {
    "unknown_model": ("model", "No price of the model “{model}” holds at {feature}. GET /api/v1/models lists them."),
    "unknown_feature": ("feature", "There is no feature “{feature}”. GET /api/v1/features lists them."),
    "tokens_only": ("units", "It was reserved in tokens, without a model: say how many tokens were used."),
}
NO_PARENT = {
    "unknown": "There is no such reservation.",
    "finished": "The parent is finished, or has expired.",
    "deep": "Reservations lie in one another three levels deep at most.",
}


@contextmanager
def problems() -> Iterator[None]:
    """What is refused in here is raised as Problem, or as a ValidationError that names the field."""
    try:
        yield
    except WrongUnits as error:
        raise ValidationError({"units": [to_customer(error)]}) from error
    except ReservationRefused as error:
        raise problem_of(error) from error
    except drain.Behind as error:
        raise Problem(503, "unavailable", f"The usage log is behind: {error}") from error
    except RedisUnreachable as error:
        raise Problem(503, "unavailable", "What is held of it cannot be read now. Try again.") from error


def problem_of(refused: ReservationRefused) -> Exception:
    """Of any refusal but NotAdmitted, which the gateway answers as it answers a call's."""
    about = refused.parameters
    match refused:
        case NotFound():
            return Problem(404, "not_found", "You have no such reservation.")
        case BoundExceeded():
            shown = {name: value for name, value in about.items() if name != "of"} | {
                "violated-policies": [about["of"]]
            }
            shown["tokens_remaining"] = "unlimited" if about["tokens_remaining"] is None else about["tokens_remaining"]
            detail = f"{about['tokens_lacking']} more tokens are needed than can be had. Stop the work, and settle it."
            return Problem(429, refused.code, detail, retry_after=None, **shown)
        case Repeated():
            return Problem(409, refused.code, ERRORS[refused.code].meaning)
        case ChildrenOpen():
            return Problem(409, refused.code, "Settle or release its children first.", **about)
        case NoParent():
            return ValidationError({"parent": [NO_PARENT[str(about["reason"])]]})
        case Over():
            detail = f"The reservation is {about['state']}: it was charged {about['tokens_charged']} tokens."
            return Problem(409, refused.code, detail, **about)
        case NotAdmitted():
            raise AssertionError("the gateway answers it") from refused
    field, text = INVALID[str(about["reason"])]
    return ValidationError({field: [text.format(**about)]})
