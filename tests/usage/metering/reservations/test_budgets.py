"""Reservations draw on the budgets of their key and run, and give back to them however they end."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from billing.entitlements import callers
from billing.models import Budget, Feature, ModelPrice
from ratelimit.limits import Part
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.outages import no_redis
from tests.usage.metering.reservations.held import again, heartbeat, reserve, settle
from tests.usage.without_redis import redis_is_back
from usage.drain.drain import drain
from usage.metering import admit
from usage.metering.call import ChargeRequest
from usage.metering.refusal import refusal_of
from usage.metering.reservations import finishing, sweep
from usage.metering.reservations.refusals import BoundExceeded, NotAdmitted

pytestmark = pytest.mark.django_db(transaction=True)


def bound(customer: Customer, **limits: int) -> None:
    Budget.objects.create(key_id=callers.look_up(customer.key).prefix, **limits)


def used(customer: Customer, part: Part, run: str = "") -> int:
    """Before a call that costs 2."""

    def charge(catalogue: Any) -> ChargeRequest:
        request = ChargeRequest(catalogue.features["risk_score"])
        return request.in_run(run) if run else request

    admission = admit.admit(customer.caller, charge)
    (standing,) = [budget.standing for budget in admission.budgets if budget.part is part]
    return standing.used - admission.cost


def test_the_bound_is_held_and_the_rest_is_given_back(erin: Customer) -> None:
    bound(erin, tokens_per_day=10, tokens_per_month=100, tokens_per_run=50)
    held = reserve(erin, 9, run="r")
    with pytest.raises(NotAdmitted) as refused:
        reserve(erin, 2, run="r")
    assert [limit.name for limit in refused.value.admission.decision.violated] == ["key"]
    settle(held, 4)
    assert used(erin, Part.DAY) == 4
    assert used(erin, Part.MONTH) == 6
    assert used(erin, Part.RUN_TOKENS, "r") == 4


def test_released_and_expired_ones_give_all_of_it_back(erin: Customer) -> None:
    bound(erin, tokens_per_day=10, tokens_per_run=50, open_per_run=1)
    with moved_by_hand() as clock:
        finishing.release(reserve(erin, 9, run="r"), timezone.now())
        reserve(erin, 9, run="r", expires_in=60)
        clock.tick(61)
        sweep.expire_due(timezone.now())
        assert reserve(erin, 8, run="r").charge.tokens == 8
        assert used(erin, Part.DAY) == 8


def test_what_costs_more_than_its_bound_is_taken_of_them_too(erin: Customer) -> None:
    bound(erin, tokens_per_day=10)
    assert settle(reserve(erin, 2), 7).charged == 7
    assert used(erin, Part.DAY) == 7


def test_so_many_are_open_at_once_in_a_run(erin: Customer) -> None:
    bound(erin, open_per_run=2)
    first, _ = reserve(erin, 1, run="r"), reserve(erin, 1, run="r")
    with pytest.raises(NotAdmitted) as refused:
        reserve(erin, 1, run="r")
    (budget,) = [each for each in refused.value.admission.budgets if each.refuses]
    assert (budget.part, budget.standing.used) == (Part.RUN_OPEN, 2)
    reserve(erin, 1, run="another")
    settle(first, 1)
    reserve(erin, 1, run="r")


def test_a_child_counts_as_open_and_draws_on_its_parent_alone(erin: Customer) -> None:
    bound(erin, open_per_run=2, tokens_per_day=20)
    parent = reserve(erin, 9, run="r")
    child = reserve(erin, 5, run="r", parent=parent.id)
    assert used(erin, Part.DAY) == 9
    settle(again(child), 3)
    settle(again(parent), 4)
    assert used(erin, Part.DAY) == 2 + 7
    assert reserve(erin, 1, run="r") and reserve(erin, 1, run="r")


def test_a_heartbeat_takes_no_more_than_a_budget_has(erin: Customer) -> None:
    bound(erin, tokens_per_day=10, tokens_per_run=8)
    held = reserve(erin, 5, run="r")
    assert heartbeat(held, 8) == 8
    with pytest.raises(BoundExceeded) as refused:
        heartbeat(held, 9)
    assert refused.value.parameters["tokens_lacking"] == 1
    settle(again(held), 8)
    assert used(erin, Part.DAY) == 8


def test_one_that_ends_without_redis_gives_back_as_well(erin: Customer, settings: Any) -> None:
    settings.WEB_PROCESSES = 1
    bound(erin, tokens_per_day=10, tokens_per_run=10, open_per_run=1)
    held = reserve(erin, 9, run="r")
    drain()
    with no_redis(settings):
        settle(again(held), 4)
    redis_is_back()
    sweep.expire_due(timezone.now())
    assert used(erin, Part.DAY) == 4


@pytest.mark.parametrize("budget", ["tokens_per_day", "tokens_per_run"])
def test_what_is_affordable_passes_and_one_more_does_not(erin: Customer, budget: str) -> None:
    bound(erin, **{budget: 10})
    rates = {"input": 0, "cache_read": 0, "cache_write": 0, "output": 1_500_000}
    ModelPrice.objects.create(feature=Feature.objects.get(code="trace_start"), model="m", **rates)
    with pytest.raises(NotAdmitted) as refused:
        reserve(erin, model="m", units={"output": 800}, run="r")
    told = refusal_of(refused.value.admission)
    assert told.code == "budget_exceeded"
    fits = told.parameters["affordable"]["output"]
    with pytest.raises(NotAdmitted):
        reserve(erin, model="m", units={"output": fits + 1}, run="r")
    reserve(erin, model="m", units={"output": fits}, run="r")
