"""Trials over HTTP: found, tried, ended, and had once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.conf import LazySettings
from django.test import Client
from django.utils import timezone

from billing import tasks
from billing.models import ApiKey, Plan, Subscription
from tests.billing.api.subscriptions.plan_changes import PREVIEW, SUBSCRIPTION, UPGRADE, refused, upgrade
from tests.billing.sale import priced_long_ago
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.schema import CheckedClient

pytestmark = pytest.mark.django_db
CANCEL = "/api/v1/billing/cancel"


@pytest.fixture
def tried(catalogue: None) -> None:
    """Pro may be tried for two weeks."""
    Plan.objects.filter(code="pro").update(trial_days=14)
    priced_long_ago()


def shown(customer: Customer) -> Any:
    return customer.api.get(SUBSCRIPTION).json()


def test_from_the_preview_to_the_first_invoice(customer: Callable[..., Customer], tried: None) -> None:
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        alice = customer("alice", "community")
        assert Client().get("/api/v1/plans/pro").json()["trial_days"] == 14
        clock.move_to("2025-10-16T09:30:00Z")
        quote = alice.post(PREVIEW, {"target_plan": "pro"}).json()
        clock.tick(60)
        answer = alice.post(UPGRADE, {"target_plan": "pro", "quoted_at": quote["at"]}).json()
        during = shown(alice)
        clock.move_to("2025-10-30T09:31:00Z")
        late = shown(alice)
        tasks.apply_due_changes()
        assert shown(alice) == late
        invoice = alice.api.get("/api/v1/billing/invoices").json()["results"][0]
    assert (quote["prorated_amount"], quote["charge_for_target"], quote["target_plan_cost"]) == (0, 0, 49)
    assert (quote["trial_ends_at"], answer["trial_ends_at"]) == ("2025-10-30T09:30:00Z", "2025-10-30T09:31:00Z")
    assert (answer["message"], answer["prorated_amount"]) == ("Trial of Pro begun", 0)
    assert (during["plan"], during["period_price"], during["next_invoice_amount"]) == ("pro", 0, 49)
    assert during["trial_ends_at"] == during["current_period_end"] == "2025-10-30T09:31:00Z"
    assert (late["trial_ends_at"], late["period_price"]) == (None, 49)
    assert late["current_period_end"] == "2025-11-30T09:31:00Z"
    assert (invoice["total"], [line["description"] for line in invoice["lines"]]) == (49, ["Pro"])


def test_it_can_be_skipped_in_the_preview_and_the_upgrade(customer: Callable[..., Customer], tried: None) -> None:
    with moved_by_hand("2025-10-01T00:00:00Z"):
        alice = customer("alice", "community")
        quote = alice.post(PREVIEW, {"target_plan": "pro", "trial": False}).json()
        answer = upgrade(alice, "pro", trial=False).json()
    assert quote["prorated_amount"] == answer["prorated_amount"] == 49
    assert quote["trial_ends_at"] is answer["trial_ends_at"] is None
    assert answer["message"] == "Upgraded to Pro"


@pytest.mark.parametrize("answer", ["perhaps", "false", "no", "", 0, 0.0, 1, []])
@pytest.mark.parametrize("path", [PREVIEW, UPGRADE])
def test_what_is_no_answer_to_trial_or_not(alice: Customer, path: str, answer: object) -> None:
    body = refused(alice.post(path, {"target_plan": "pro", "trial": answer}), 400, "invalid")
    assert list(body["errors"]) == ["trial"]


def test_a_what_if_of_other_plans_and_cycles_begins_none(alice: Customer, tried: None) -> None:
    for given in (
        {"current_plan": "community"},
        {"billing_cycle_start": "2025-10-01", "billing_cycle_end": "2025-11-01"},
    ):
        quote = alice.post(PREVIEW, {"target_plan": "pro", "at": "2025-10-01"} | given).json()
        assert (quote["trial_ends_at"], quote["prorated_amount"]) == (None, 49)


def test_neither_canceling_nor_a_new_key_gives_another(customer: Callable[..., Customer], tried: None) -> None:
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        alice = customer("alice", "community")
        upgrade(alice, "pro")
        refused(upgrade(alice, "pro"), 400, "not_an_upgrade")
        assert alice.post(CANCEL, {}).json()["effective_date"] == "2025-10-15"
        clock.move_to("2025-10-15T00:00:00Z")
        assert shown(alice)["plan"] == "community"
        _, key = ApiKey.issue(account=alice.user, name="another")
        again = Customer(alice.user, key, CheckedClient(headers={"authorization": f"Bearer {key}"}))
        answer = upgrade(again, "pro").json()
    assert (answer["trial_ends_at"], answer["prorated_amount"]) == (None, 49)


def test_who_has_no_plan_may_choose_one_to_try(
    catalogue: None, customer: Callable[..., Customer], tried: None, settings: LazySettings
) -> None:
    with moved_by_hand("2025-10-01T00:00:00Z"):
        alice = customer("alice", "community")
        now = timezone.now()
        Subscription.objects.update(status="canceled", ended_at=now)
        Plan.objects.update(is_default=False)
        priced_long_ago()
        quote = alice.post(PREVIEW, {"target_plan": "pro"}).json()
        answer = upgrade(alice, "pro").json()
    assert quote["trial_ends_at"] == answer["trial_ends_at"] == "2025-10-15T00:00:00Z"
    assert (quote["prorated_amount"], answer["prorated_amount"], answer["invoice"]) == (0, 0, None)


def nobody_yet(at: dict[int, datetime]) -> set[int]:
    return set()


@pytest.mark.django_db(transaction=True)
class TestWithoutThePaymentMethod:
    """The gateway enforces the end at its instant, whenever beat comes; features say so."""

    def test_the_default_plan_holds_from_the_instant_on(
        self, customer: Callable[..., Customer], tried: None, settings: LazySettings
    ) -> None:
        settings.BILLING_HAS_PAYMENT_METHOD = f"{__name__}.nobody_yet"
        Plan.objects.filter(code="pro").update(trial_needs_payment_method=True)
        priced_long_ago()
        statuses = []
        with moved_by_hand("2031-10-01T00:00:00Z") as clock:
            alice = customer("alice", "community")
            upgrade(alice, "pro")
            during = shown(alice)
            for instant in ("2031-10-14T23:59:59Z", "2031-10-15T00:00:00Z", "2031-10-15T00:00:01Z"):
                clock.move_to(instant)
                statuses.append(alice.api.get("/api/v1/graph/nodes").status_code)
            tasks.apply_due_changes()
            statuses.append(alice.api.get("/api/v1/graph/nodes").status_code)
            after = shown(alice)
        assert (during["cancel_at"], during["next_invoice_amount"]) == ("2031-10-15T00:00:00Z", 0)
        assert statuses == [200, 403, 403, 403]
        assert (after["plan"], after["current_period_start"]) == ("community", "2031-10-15T00:00:00Z")


@pytest.mark.django_db(transaction=True)
def test_what_was_used_stays_used_until_the_paid_period_begins(customer: Callable[..., Customer], tried: None) -> None:
    """The trial raises the quota of the window that it falls in, and brings its end forward."""
    Plan.objects.filter(code="starter").update(trial_days=14, quota_window="billing_period")
    priced_long_ago()
    found = []
    with moved_by_hand("2031-10-01T00:00:00Z") as clock:
        alice = customer("alice", "community")

        def use_ten() -> None:
            assert alice.api.get("/api/v1/trace/start").status_code == 200
            usage = alice.api.get("/api/v1/usage/current").json()
            found.append((usage["tokens_used"], usage["quota"], usage["resets_at"]))

        use_ten()
        clock.move_to("2031-10-16T09:30:00Z")
        upgrade(alice, "starter")
        use_ten()
        clock.move_to("2031-10-30T09:30:00Z")
        use_ten()
        tasks.apply_due_changes()
        use_ten()
    assert found == [
        (10, 100, "2031-11-01T00:00:00Z"),
        (20, 500, "2031-10-30T09:30:00Z"),
        (10, 500, "2031-11-30T09:30:00Z"),
        (20, 500, "2031-11-30T09:30:00Z"),
    ]
