"""POST and DELETE /billing/cancel: the subscription ends with its period, or is renewed after all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from billing.models import Invoice, Plan, Subscription
from billing.subscriptions.period_end import renewal
from tests.billing.api.subscriptions.plan_changes import PREVIEW, SUBSCRIPTION, UPGRADE, refused
from tests.billing.sale import priced_long_ago
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import problem

pytestmark = pytest.mark.django_db(transaction=True)
CANCEL, DOWNGRADE, CURRENT = "/api/v1/billing/cancel", "/api/v1/billing/downgrade", "/api/v1/usage/current"
TRACE = "/api/v1/trace/start"


def cancel(customer: Customer, **body: Any) -> Any:
    return customer.post(CANCEL, body)


def keep(customer: Customer) -> Any:
    return customer.api.delete(CANCEL)


def shown(customer: Customer) -> dict[str, Any]:
    found: dict[str, Any] = customer.api.get(SUBSCRIPTION).json()
    return found


def row(customer: Customer) -> Subscription:
    return Subscription.objects.filter(account=customer.user).earliest("pk")


def test_it_answers_as_the_contract_says(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        bob = customer("bob", "starter")
        clock.move_to("2025-10-16T09:30:00Z")
        response = cancel(bob, reason="The project has ended.")
        subscription = shown(bob)
    assert response.status_code == 200
    assert response.json() == {
        "message": "Your subscription ends on 2025-11-01.",
        "effective_date": "2025-11-01",
        "then": "community",
    }
    assert (subscription["plan"], subscription["status"]) == ("starter", "active")
    assert subscription["cancel_at"] == "2025-11-01T00:00:00Z"
    assert (subscription["scheduled_plan"], subscription["next_invoice_amount"]) == (None, 0)
    assert row(bob).cancel_reason == "The project has ended."


@pytest.mark.parametrize("beat", ["late", "on time"])
def test_the_default_plan_follows_at_that_instant_and_not_before(customer: Callable[..., Customer], beat: str) -> None:
    with moved_by_hand("2025-10-20T00:00:00Z") as clock:
        bob = customer("bob", "starter")
        assert bob.api.get(TRACE).status_code == 200
        cancel(bob)
        seen = []
        for instant in ("2025-11-19T23:59:59Z", "2025-11-20T00:00:00Z", "2025-11-25T12:00:00Z"):
            clock.move_to(instant)
            if beat == "on time":
                renewal.renew_due(timezone.now())
            current = bob.api.get(CURRENT).json()
            seen.append((shown(bob)["plan"], current["plan"], current["quota"], current["resets_at"]))
        after = shown(bob)
    assert seen == [
        ("starter", "starter", 500, "2025-12-01T00:00:00Z"),
        ("community", "community", 100, "2025-12-01T00:00:00Z"),
        ("community", "community", 100, "2025-12-01T00:00:00Z"),
    ]
    assert (after["status"], after["cancel_at"], after["current_period_start"]) == (
        "active",
        None,
        "2025-11-20T00:00:00Z",
    )
    assert Invoice.objects.filter(account=bob.user).count() == 1


def test_the_row_says_when_it_ended(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        bob = customer("bob", "starter")
        cancel(bob)
        clock.move_to("2025-11-03T00:00:00Z")
        report = renewal.renew_due(timezone.now())
    assert (report.ended, report.renewed, report.invoices) == (1, 0, 0)
    ended, follows = Subscription.objects.filter(account=bob.user).order_by("pk")
    assert (ended.status, f"{ended.ended_at:%Y-%m-%d %H:%M}") == ("canceled", "2025-11-01 00:00")
    assert (follows.status, follows.plan.code, follows.anchor) == ("active", "community", ended.ended_at)


class TestTakenBack:
    def test_it_is_renewed_after_all(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            bob = customer("bob", "starter")
            cancel(bob, reason="too dear")
            assert keep(bob).status_code == 204
            assert (shown(bob)["cancel_at"], row(bob).cancel_reason) == (None, "")
            clock.move_to("2025-11-02T00:00:00Z")
            renewal.renew_due(timezone.now())
            assert shown(bob)["plan"] == "starter"
        assert Invoice.objects.filter(account=bob.user).count() == 2

    def test_nothing_to_take_back(self, bob: Customer) -> None:
        refused(keep(bob), 409, "nothing_scheduled")

    def test_not_once_it_has_ended(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            bob = customer("bob", "starter")
            cancel(bob)
            clock.move_to("2025-11-01T00:00:00Z")
            refused(keep(bob), 409, "nothing_scheduled")
            assert shown(bob)["plan"] == "community"


class TestBesideOtherChanges:
    def test_it_replaces_a_downgrade_and_is_replaced_by_one(self, carol: Customer) -> None:
        carol.post(DOWNGRADE, {"target_plan": "starter"})
        cancel(carol)
        assert (shown(carol)["scheduled_plan"], bool(shown(carol)["cancel_at"])) == (None, True)
        refused(carol.api.delete(DOWNGRADE), 409, "nothing_scheduled")
        carol.post(DOWNGRADE, {"target_plan": "starter"})
        assert (shown(carol)["scheduled_plan"], shown(carol)["cancel_at"]) == ("starter", None)

    def test_whoever_upgrades_stays(self, bob: Customer) -> None:
        cancel(bob)
        assert bob.post(UPGRADE, {"target_plan": "pro"}).status_code == 200
        assert (shown(bob)["plan"], shown(bob)["cancel_at"]) == ("pro", None)

    def test_a_preview_beyond_the_end_is_of_what_follows(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z"):
            bob = customer("bob", "starter")
            cancel(bob)
            quote = bob.post(PREVIEW, {"target_plan": "starter", "at": "2025-11-16"}).json()
        assert (quote["current_plan_cost"], quote["charge_for_target"], quote["direction"]) == (0, 14.5, "upgrade")


class TestRefused:
    def test_on_the_default_plan_there_is_nothing_to_cancel(self, alice: Customer) -> None:
        refused(cancel(alice), 409, "nothing_to_cancel")

    def test_a_double_click_is_one(self, bob: Customer) -> None:
        assert [cancel(bob, reason=reason).status_code for reason in ("once", "twice")] == [200, 200]
        assert row(bob).cancel_reason == "twice"

    @pytest.mark.parametrize("body", [{"reason": "x" * 201}, {"reason": ["x"]}, {"reason": None}, {"why": "x"}, []])
    def test_bodies_of_the_wrong_kind(self, bob: Customer, body: Any) -> None:
        problem(bob.post(CANCEL, body), 400, "invalid", {"errors"})
        assert shown(bob)["cancel_at"] is None

    def test_it_is_not_public(self, bob: Customer) -> None:
        bob.api.defaults.clear()
        problem(type(bob.api)(raise_request_exception=False).post(CANCEL), 401, "not_authenticated", {"reason"})


class TestWithoutADefaultPlan:
    """Nothing follows; whoever comes back chooses a plan."""

    @pytest.fixture(autouse=True)
    def no_default(self, catalogue: None) -> None:
        priced_long_ago()
        Plan.objects.update(is_default=False)

    def ended(self, customer: Callable[..., Customer], clock: Any) -> Customer:
        bob = customer("bob", "starter")
        assert cancel(bob).json()["then"] is None
        clock.move_to("2025-11-01T00:00:00Z")
        return bob

    @pytest.mark.parametrize("beat", ["late", "on time"])
    def test_calls_are_refused_with_what_to_do(self, customer: Callable[..., Customer], beat: str) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            bob = self.ended(customer, clock)
            if beat == "on time":
                renewal.renew_due(timezone.now())
            body = refused(bob.api.get(TRACE), 403, "feature_not_in_plan")
            assert (body["current_plan"], body["suggested_plan"]) == (None, "community")
            assert body["detail"] == "You have no plan. Choose one to use trace_start."
            problem(bob.api.get(SUBSCRIPTION), 404, "not_found")
            refused(cancel(bob), 404, "not_found")
            refused(keep(bob), 404, "not_found")
            refused(bob.post(DOWNGRADE, {"target_plan": "community"}), 404, "not_found")
            assert bob.api.get(CURRENT).json()["plan"] is None
            assert bob.api.get("/api/v1/billing/invoices").status_code == 200

    def test_whoever_comes_back_pays_the_full_price(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            bob = self.ended(customer, clock)
            clock.move_to("2025-12-05T12:00:00Z")
            quote = bob.post(PREVIEW, {"target_plan": "pro"}).json()
            answer = bob.post(UPGRADE, {"target_plan": "pro", "quoted_at": quote["at"]}).json()
            assert bob.api.get(TRACE).status_code == 200
        assert (quote["prorated_amount"], quote["direction"]) == (49, "upgrade")
        assert (answer["previous_plan"], answer["current_plan"], answer["prorated_amount"]) == (None, "pro", 49)
        assert (answer["current_period_start"], answer["current_period_end"]) == (
            "2025-12-05T12:00:00Z",
            "2026-01-05T12:00:00Z",
        )
        invoice = Invoice.objects.get(number=answer["invoice"])
        assert [(line.kind, line.amount) for line in invoice.lines.all()] == [("base", 49)]
