"""Admitting a call: facts that are never stale, one reload, and what a decision carries."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.utils import timezone

from billing.catalogue.in_memory import Catalogue
from billing.entitlements import snapshots
from billing.entitlements.callers import BadCredentials, Caller
from billing.fence import push
from billing.fence.models import CATALOGUE
from billing.models import Feature, Fence, LimitOverride, Plan, TokenTopUp
from ratelimit import limiter
from ratelimit.limits import Outcome
from ratelimit.store import client
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.conftest import forget_everything
from tests.outages import no_redis
from tests.usage.histories import admit, sums
from usage.drain import drain
from usage.log.batch import decode
from usage.metering import admit as meter
from usage.metering import kept_answers
from usage.metering.admit import Unavailable
from usage.metering.call import ChargeRequest

pytestmark = pytest.mark.django_db


def edited_while_read(customer: Customer, edits: int) -> Callable[[Catalogue], ChargeRequest]:
    """A call during whose first `edits` tries somebody edits the catalogue, or overrides the customer's quota."""
    left = iter(range(edits))

    def charge_of(catalogue: Catalogue) -> ChargeRequest:
        number = next(left, None)
        if number is not None and number % 2:
            LimitOverride.objects.create(account=customer.user, limit="quota", maximum=500 + number)
        elif number is not None:
            Plan.objects.get(code="starter").save()
        push.sweep()
        return ChargeRequest(catalogue.features["trace_start"])

    return charge_of


def test_an_admission_carries_the_event_that_was_written(bob: Customer) -> None:
    with moved_by_hand() as clock:
        admission = admit(bob, "graph_query")
        now_ms = round(clock().timestamp() * 1000)
    assert admission.event is not None
    assert (admission.cost, admission.quota.used, admission.quota.remaining) == (3, 3, 497)
    assert uuid.UUID(admission.event.charge).version == 7
    assert (admission.event.charged_at_ms, admission.event.at_ms) == (now_ms, now_ms)
    ((_, fields),) = client().xrange(f"{{s{bob.account % 64:02d}}}:events")
    assert decode(fields[b"e"]) == admission.event
    assert fields[b"e"] == admission.event.encode()


def test_a_call_without_a_feature_writes_nothing(bob: Customer) -> None:
    admission = meter.admit(bob.caller, lambda _: ChargeRequest())
    assert (admission.event, admission.cost, drain.backlog()) == (None, 0, {})
    assert admission.minute is not None and admission.minute.used == 1


def test_a_feature_the_plan_lacks_consumes_nothing_and_is_not_admitted(alice: Customer) -> None:
    admission = admit(alice, "graph_query")
    assert (admission.entitled, admission.admitted, admission.event) == (False, False, None)
    assert admission.minute is not None
    assert (admission.minute.used, admission.quota.used, drain.backlog()) == (0, 0, {})


@pytest.mark.parametrize(("limit", "used"), [(9, 0), (10, 10), (11, 10), (19, 10), (20, 20), (21, 20)])
def test_the_quota_to_the_token(bob: Customer, limit: int, used: int) -> None:
    LimitOverride.objects.create(account=bob.user, limit="quota", maximum=limit)
    admissions = [admit(bob) for _ in range(3)]
    assert sum(admission.cost for admission in admissions) == used
    assert admissions[-1].quota.used == used


def test_a_feature_may_cost_nothing(bob: Customer) -> None:
    Feature.objects.filter(code="trace_start").update(tokens=0)
    LimitOverride.objects.create(account=bob.user, limit="quota", maximum=0)
    admission = admit(bob)
    assert (admission.admitted, admission.cost) == (True, 0)
    drain.drain()


class TestFacts:
    """Every row a decision rests on acts on the very next call of a warm process."""

    CHANGES: dict[str, Any] = {
        "a plan's quota": lambda bob: Plan.objects.filter(code="starter").update(monthly_token_quota=5),
        "a plan's limit": lambda bob: Plan.objects.filter(code="starter").update(requests_per_minute=1),
        "a feature's cost": lambda bob: Feature.objects.filter(code="trace_start").update(tokens=999),
        "an override": lambda bob: LimitOverride.objects.create(account=bob.user, limit="quota", maximum=5),
        "another plan": lambda bob: bob.user.subscriptions.update(plan=Plan.objects.get(code="enterprise")),
        "a top-up": lambda bob: TokenTopUp.objects.create(account=bob.user, tokens=500),
    }

    @pytest.mark.parametrize("name", CHANGES)
    def test_change(self, bob: Customer, name: str) -> None:
        caller = bob.caller
        before = meter.admit(caller, lambda catalogue: ChargeRequest(catalogue.features["trace_start"]))
        self.CHANGES[name](bob)
        push.sweep()
        after = meter.admit(caller, lambda catalogue: ChargeRequest(catalogue.features["trace_start"]))
        assert (after.admitted, after.quota.limit.maximum) != (before.admitted, before.quota.limit.maximum)

    def test_a_deactivated_user_is_gone(self, bob: Customer) -> None:
        caller = bob.caller
        meter.admit(caller, lambda _: ChargeRequest())
        get_user_model().objects.filter(pk=bob.account).update(is_active=False)
        push.sweep()
        with pytest.raises(BadCredentials):
            meter.admit(caller, lambda _: ChargeRequest())

    def test_redis_that_knows_nothing_is_told_again(self, bob: Customer) -> None:
        admit(bob)
        drain.drain()
        client().flushall()
        assert admit(bob).quota.used == 20

    @pytest.mark.parametrize("name", CHANGES)
    def test_a_change_whose_push_was_lost_with_the_server_acts_all_the_same(self, bob: Customer, name: str) -> None:
        """Pushed to a Redis that has lost its data since, before this process asked for the account again."""
        caller = bob.caller
        before = meter.admit(caller, lambda catalogue: ChargeRequest(catalogue.features["trace_start"]))
        self.CHANGES[name](bob)
        push.sweep()
        client().flushall()
        after = meter.admit(caller, lambda catalogue: ChargeRequest(catalogue.features["trace_start"]))
        seen = [(call.admitted, [standing.limit.maximum for standing in call.standings]) for call in (before, after)]
        assert seen[0] != seen[1]

    def test_redis_that_knows_more_than_postgresql_is_believed(self, bob: Customer) -> None:
        """PostgreSQL came back from a backup: its versions are lifted above those Redis has seen."""
        admit(bob)
        keys = snapshots.snapshot(bob.account, time.time_ns() // 1_000_000).keys
        client().set(keys.fence, 77)
        client().set(keys.catalogue_fence, 88)
        assert admit(bob).admitted
        assert Fence.objects.get(subject=bob.account).version == 78
        assert Fence.objects.get(subject=CATALOGUE).version == 89

    def test_facts_that_redis_calls_stale_for_ever_are_unavailable(
        self, bob: Customer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limiter, "admit", lambda *_, **__: limiter.StaleFacts(0, 0))
        with pytest.raises(Unavailable):
            admit(bob)

    def test_a_burst_of_edits_while_they_are_read_fails_nobody(self, bob: Customer) -> None:
        """Edits of the account and of the catalogue in turn, each after the call has read what it is decided by."""
        admission = meter.admit(bob.caller, edited_while_read(bob, 20))
        assert admission.quota.limit.maximum == 519, "decided by the last edit"

    @pytest.mark.parametrize(("edits", "admitted"), [(4, True), (5, False)])
    def test_after_some_seconds_each_edit_uses_up_a_try(
        self, bob: Customer, monkeypatch: pytest.MonkeyPatch, edits: int, admitted: bool
    ) -> None:
        admit(bob)
        monkeypatch.setattr(meter, "PATIENCE_SECONDS", 0.0)
        outcome = nullcontext() if admitted else pytest.raises(Unavailable)
        with outcome:
            meter.admit(bob.caller, edited_while_read(bob, edits))

    def test_an_override_that_ends_acts_on_the_instant(self, bob: Customer) -> None:
        with moved_by_hand("2031-03-14T00:00:00Z") as clock:
            expiry = datetime(2031, 3, 14, 1, tzinfo=UTC)
            LimitOverride.objects.create(account=bob.user, limit="quota", maximum=5, expires_at=expiry)
            outcomes = []
            for seconds in (0, 3599.999, 0.001):
                clock.tick(seconds)
                outcomes.append(admit(bob).admitted)
        assert outcomes == [False, False, True]


def test_a_clock_that_is_off_is_corrected_once(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 3_600_000_000_000)
    admission = admit(bob)
    assert admission.event is not None
    assert abs(admission.event.charged_at_ms - real() // 1_000_000) < 60_000


@pytest.mark.parametrize(("off_ms", "outcome"), [(4_999, "kept"), (5_000, "kept"), (5_001, "corrected")])
def test_a_skew_of_five_seconds_is_borne(bob: Customer, off_ms: int, outcome: str, monkeypatch: Any) -> None:
    with moved_by_hand() as clock:
        now_ms = round(clock().timestamp() * 1000)
        real = limiter.admit

        def behind(*arguments: Any, **named: Any) -> Any:
            return real(*arguments, **{**named, "now_ms": now_ms - off_ms})

        monkeypatch.setattr(limiter, "admit", behind)
        event = admit(bob).event
    assert event is not None
    assert event.charged_at_ms == (now_ms if outcome == "kept" else now_ms - off_ms)


def test_without_credentials_that_hold_nothing_is_counted(bob: Customer) -> None:
    stale = Caller(bob.account, bob.key, bob.caller.identity._replace(version=0))  # type: ignore[union-attr]
    assert meter.admit(stale, lambda _: ChargeRequest()).admitted, "an old identity is looked up again"
    forget_everything()
    gone = Caller(bob.account, "made.up", bob.caller.identity._replace(version=0))  # type: ignore[union-attr]
    with pytest.raises(BadCredentials):
        meter.admit(gone, lambda _: ChargeRequest())


def test_a_call_under_a_known_key_has_the_event_of_the_first(bob: Customer) -> None:
    first, early = (admit(bob, idempotency_key="k", fingerprint=b"f") for _ in range(2))  # type: ignore[arg-type]
    assert (early.decision.outcome, early.admitted, early.cost) == (Outcome.IN_PROGRESS, False, 0)
    kept_answers.keep(first, HttpResponse(b"scored"))
    second = admit(bob, idempotency_key="k", fingerprint=b"f")  # type: ignore[arg-type]
    assert (first.replayed, second.replayed, second.cost) == (False, True, 0)
    assert second.event == first.event
    conflict = admit(bob, idempotency_key="k", fingerprint=b"g")  # type: ignore[arg-type]
    assert (conflict.decision.outcome, conflict.admitted) == (Outcome.CONFLICT, False)


@pytest.mark.parametrize("with_redis", [True, False])
def test_where_an_account_stands_costs_it_nothing(bob: Customer, with_redis: bool, settings: Any) -> None:
    settings.WEB_PROCESSES = 1
    admit(bob)
    drain.drain()
    with nullcontext() if with_redis else no_redis(settings):
        for _ in range(40):
            standing = meter.standing(bob.account, timezone.now())
            assert (standing.admitted, standing.cost, standing.quota.used, standing.event) == (True, 0, 10, None)
            assert standing.minute is not None
            assert standing.minute.used == (1 if with_redis else 0)
    assert (drain.backlog(), sums(bob.account)) == ({}, {10})


def test_an_account_that_has_nothing_left_is_told_where_it_stands(alice: Customer) -> None:
    LimitOverride.objects.create(account=alice.user, limit="quota", maximum=0)
    LimitOverride.objects.create(account=alice.user, limit="minute", maximum=0)
    standing = meter.standing(alice.account, timezone.now())
    assert (standing.quota.remaining, standing.minute and standing.minute.remaining) == (0, 0)
