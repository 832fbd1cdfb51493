"""Every refusal of a reservation is told as a problem."""

from __future__ import annotations

import pytest
from rest_framework.exceptions import APIException

from billing.http.error_codes import ERRORS
from billing.http.problems import Problem
from usage.api.reservation_sentences import INVALID, NO_PARENT, problem_of
from usage.metering.reservations.refusals import (
    BoundExceeded,
    ChildrenOpen,
    Expired,
    NoParent,
    NotFound,
    Over,
    Repeated,
    ReservationRefused,
)

EXCEEDED = {"of": "quota", "tokens_reserved": 1, "tokens_lacking": 1, "tokens_remaining": None, "affordable": {}}
REFUSALS = [
    NotFound(),
    Over(state="settled", tokens_charged=4),
    Expired(state="expired", tokens_charged=4),
    ChildrenOpen(open=1),
    BoundExceeded(**EXCEEDED),
    Repeated(),
]


@pytest.mark.parametrize("refused", REFUSALS, ids=lambda refused: refused.code)
def test_its_code_is_explained(refused: ReservationRefused) -> None:
    problem = problem_of(refused)
    assert isinstance(problem, Problem)
    assert (problem.code, problem.status_code) == (refused.code, ERRORS[refused.code].status)


@pytest.mark.parametrize(
    "refused",
    [
        *(NoParent(reason=reason) for reason in NO_PARENT),
        *(ReservationRefused("invalid", reason=reason, model="m", feature="f") for reason in INVALID),
    ],
    ids=str,
)
def test_what_is_wrong_of_a_request_names_its_field(refused: ReservationRefused) -> None:
    problem = problem_of(refused)
    assert isinstance(problem, APIException)
    assert problem.status_code == 400
