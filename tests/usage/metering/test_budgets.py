"""Budgets of an API key: judged with the account's limits, all or none; counted anew from the log."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from billing.models import ApiKey, Budget, Plan
from billing.models.entitlements.budgets import terms_of
from ratelimit import process_state
from ratelimit.limits import Outcome, Part
from ratelimit.store import client
from tests.cast import Customer, call
from tests.clock import moved_by_hand
from tests.outages import no_redis
from tests.usage.without_redis import redis_is_back
from usage.drain.drain import drain
from usage.metering import admit
from usage.metering.admission import Admission
from usage.metering.call import ChargeRequest
from usage.metering.voiding import void_failed_call
from usage.models import UsageLog
from usage.reconciliation import mend

pytestmark = pytest.mark.django_db(transaction=True)


def budget(customer: Customer, **bounds: int) -> Budget:
    row, _ = Budget.objects.get_or_create(key=customer.user.api_keys.get())
    for name, maximum in bounds.items():
        setattr(row, name, maximum)
    row.save()
    return row


def used(admission: Admission, part: Part) -> int:
    return next(each.standing.used for each in admission.budgets if each.part is part)


def test_a_key_without_a_budget_is_judged_as_ever(erin: Customer) -> None:
    admission = call(erin, "trace_start")
    assert admission.call.within is None
    assert admission.budgets == ()
    assert terms_of(erin.user.api_keys.get()) is terms_of(Plan.objects.get(code="pro"))


@pytest.mark.parametrize("window", ["tokens_per_day", "tokens_per_month"])
@pytest.mark.parametrize(("maximum", "passes"), [(9, 0), (10, 1), (19, 1), (20, 2)])
def test_tokens_under_at_and_over(erin: Customer, window: str, maximum: int, passes: int) -> None:
    budget(erin, **{window: maximum})
    made = [call(erin, "trace_start") for _ in range(3)]
    assert [admission.admitted for admission in made] == [True] * passes + [False] * (3 - passes)
    assert [limit.name for limit in made[-1].decision.violated] == ["key"]
    drain()
    assert sum(UsageLog.objects.values_list("tokens", flat=True)) == 10 * passes


def test_a_minute_of_its_own(erin: Customer) -> None:
    budget(erin, requests_per_minute=2)
    assert [call(erin).admitted for _ in range(3)] == [True, True, False]
    budget(erin, requests_per_minute=3)
    assert [call(erin).admitted for _ in range(2)] == [True, False]


def test_an_edit_acts_on_the_next_call(erin: Customer) -> None:
    row = budget(erin, tokens_per_day=10)
    call(erin, "trace_start")
    assert not call(erin, "trace_start").admitted
    budget(erin, tokens_per_day=20)
    admission = call(erin, "trace_start")
    assert admission.admitted
    assert used(admission, Part.DAY) == 20
    row.delete()
    assert call(erin, "trace_start").budgets == ()


def test_a_plan_bounds_each_key_of_its_subscribers_and_the_smaller_budget_holds(erin: Customer) -> None:
    Budget.objects.create(plan=Plan.objects.get(code="enterprise"), tokens_per_day=20)
    budget(erin, tokens_per_day=1000, tokens_per_month=30)
    made = [call(erin, "trace_start") for _ in range(3)]
    assert [admission.admitted for admission in made] == [True, True, False]
    assert {each.part: each.standing.limit.maximum for each in made[-1].budgets} == {Part.DAY: 20, Part.MONTH: 30}


def test_parallel_calls_never_pass_it(erin: Customer) -> None:
    budget(erin, tokens_per_day=100, tokens_per_month=150)

    def one(_: int) -> bool:
        try:
            return call(erin, "trace_expand").admitted
        finally:
            connection.close()

    with ThreadPoolExecutor(16) as threads:
        admitted = [*threads.map(one, range(64))]
    assert sum(admitted) == 20
    drain()
    assert sum(UsageLog.objects.values_list("tokens", flat=True)) == 100


def test_it_is_exact_while_it_is_counted_anew_all_the_time(erin: Customer) -> None:
    """Calls, voids and edits that make every counter stale race; in the end Redis says what the log says."""
    row = budget(erin, tokens_per_day=150, tokens_per_month=100_000)

    def one(number: int) -> int:
        try:
            if number % 6 == 0:
                Budget.objects.get(pk=row.pk).save()
            admission = call(erin, "trace_expand")
            if admission.admitted and number % 3 == 0:
                void_failed_call(admission)
                return 0
            return admission.cost
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as threads:
        kept = sum(threads.map(one, range(72)))
    assert 0 < kept <= 150
    last = call(erin)
    drain()
    assert sum(UsageLog.objects.values_list("tokens", flat=True)) == kept
    assert used(last, Part.DAY) == used(last, Part.MONTH) == kept


def test_other_keys_of_the_account_are_counted_by_themselves(erin: Customer) -> None:
    _, text = ApiKey.issue(account=erin.user, name="another")
    budget_of = erin.user.api_keys.get(name="erin's key")
    Budget.objects.create(key=budget_of, tokens_per_day=10)
    other = Customer(erin.user, text, erin.api)
    assert [call(other, "trace_start").admitted for _ in range(3)] == [True] * 3
    assert [call(erin, "trace_start").admitted for _ in range(2)] == [True, False]


def test_what_is_taken_back_is_given_back_to_it(erin: Customer) -> None:
    budget(erin, tokens_per_day=10, tokens_per_month=10)
    admission = call(erin, "trace_start")
    assert not call(erin, "trace_start").admitted
    void_failed_call(admission)
    assert used(admission, Part.DAY) == 0
    again = call(erin, "trace_start")
    assert again.admitted
    assert used(again, Part.MONTH) == 10


def test_it_is_counted_from_the_log_when_redis_has_lost_everything(erin: Customer) -> None:
    budget(erin, tokens_per_day=30)
    call(erin, "trace_start")
    call(erin, "trace_start")
    drain()
    client().flushall()
    assert used(call(erin, "trace_start"), Part.DAY) == 30
    assert not call(erin, "trace_start").admitted


def test_what_was_used_before_it_was_set_counts(erin: Customer) -> None:
    call(erin, "trace_start")
    budget(erin, tokens_per_day=19)
    assert not call(erin, "trace_start").admitted


def test_a_new_day_and_a_new_month_begin_at_midnight_in_utc(erin: Customer) -> None:
    budget(erin, tokens_per_day=10, tokens_per_month=25)
    with moved_by_hand("2031-03-30T23:59:59Z") as clock:
        assert [call(erin, "trace_start").admitted for _ in range(2)] == [True, False]
        clock.move_to("2031-03-31T00:00:00Z")
        assert [call(erin, "trace_start").admitted for _ in range(2)] == [True, False]
        clock.move_to("2031-04-01T00:00:00Z")
        again = call(erin, "trace_start")
        assert again.admitted
        assert used(again, Part.DAY) == used(again, Part.MONTH) == 10


def test_both_the_account_s_limit_and_the_key_s_are_named(alice: Customer) -> None:
    budget(alice, tokens_per_day=95)
    for _ in range(9):
        call(alice, "trace_start")
    admission = call(alice, "trace_start")
    assert [limit.name for limit in admission.decision.violated] == ["key"]
    call(alice, "trace_expand")
    assert [limit.name for limit in call(alice, "trace_start").decision.violated] == ["minute", "quota", "key"]


def test_damaged_counters_leave_the_decision_to_postgres(erin: Customer) -> None:
    budget(erin, tokens_per_day=20)
    call(erin, "trace_start")
    drain()
    (key,) = client().keys(f"*:k:{erin.account}:*")
    client().set(key, "nonsense")
    made = [call(erin, "trace_start") for _ in range(2)]
    assert [admission.admitted for admission in made] == [True, False]
    assert not made[0].by_redis
    assert [damaged.name for damaged in mend.mend(timezone.now())] == [key]
    process_state.start_anew()
    again = call(erin, "trace_start")
    assert again.by_redis
    assert used(again, Part.DAY) == 20
    assert not again.admitted


@pytest.mark.parametrize("kind", ["km", "kb", "n"])
def test_what_is_damaged_of_a_minute_or_a_run_is_mended(erin: Customer, kind: str) -> None:
    budget(erin, requests_per_minute=20, tokens_per_run=100)

    def one() -> Admission:
        return admit.admit(erin.caller, lambda catalogue: ChargeRequest(catalogue.features["trace_start"]).in_run("r"))

    for _ in range(9):
        one()
    (key,) = client().keys(f"*:{kind}:{erin.account}:*")
    client().delete(key)
    client().lpush(key, "nonsense")
    mend.mend(timezone.now())
    assert not client().exists(key)
    assert one().by_redis


def test_without_redis_the_log_is_what_counts(erin: Customer, settings: Any) -> None:
    budget(erin, tokens_per_day=30)
    call(erin, "trace_start")
    drain()
    with no_redis(settings):
        made = [call(erin, "trace_start") for _ in range(3)]
    assert [admission.admitted for admission in made] == [True, True, False]
    assert [limit.name for limit in made[-1].decision.violated] == ["key"]
    assert made[-1].decision.outcome is Outcome.REFUSED
    redis_is_back()
    assert used(call(erin, "trace_expand"), Part.DAY) == 30


def test_without_redis_the_minute_is_the_process_s_share(erin: Customer, settings: Any) -> None:
    settings.WEB_PROCESSES = 1
    budget(erin, requests_per_minute=2)
    with no_redis(settings):
        assert [call(erin).admitted for _ in range(3)] == [True, True, False]
