"""Coupons over HTTP: redeemed, shown, given up; in previews, in the subscription and on invoices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.utils import timezone

from billing.api.subscriptions.coupon_codes import find_coupon
from billing.http.problems import Problem
from billing.models import CouponRedemption, Plan, Subscription
from billing.subscriptions.period_end import renewal
from tests.billing.api.subscriptions.plan_changes import PREVIEW, SUBSCRIPTION, preview, upgrade
from tests.billing.sale import lift_minute, priced_long_ago
from tests.billing.subscriptions.period_end.test_renewal_concurrency import at_once
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import problem
from tests.factories import make_coupon, money

pytestmark = pytest.mark.django_db(transaction=True)
COUPON, INVOICES = "/api/v1/billing/coupon", "/api/v1/billing/invoices"


@pytest.fixture
def clock() -> Iterator[Any]:
    with moved_by_hand("2031-03-01T00:00:00Z") as clock:
        yield clock


@pytest.fixture
def bob(clock: Any, customer: Any) -> Customer:
    """On starter since the first of March; no limit a minute."""
    bob = lift_minute(customer("bob", "starter"))
    priced_long_ago()
    clock.move_to("2031-03-16T12:00:00Z")
    return bob


def redeem(customer: Customer, code: str = "spring", **headers: str) -> Any:
    return customer.post(COUPON, {"code": code}, **headers)


def refused(response: Any) -> str:
    return str(problem(response, 400, "coupon_invalid", {"reason"})["reason"])


def held(customer: Customer) -> Any:
    return customer.api.get(COUPON).json()["coupon"]


def test_it_says_what_it_gives(bob: Customer) -> None:
    make_coupon(periods=3, plans=Plan.objects.filter(code__in=["starter", "pro"]))
    assert held(bob) is None
    answer = redeem(bob)
    assert answer.status_code == 200
    assert answer.json() == {
        "code": "SPRING",
        "name": "Spring",
        "percent": 50.00,
        "amount": None,
        "currency": None,
        "periods": 3,
        "periods_left": 3,
        "plans": ["pro", "starter"],
        "redeemed_at": "2031-03-16T12:00:00Z",
        "next_invoice": {"discount": 14.50, "amount": 14.50, "currency": "USD"},
    }
    assert held(bob) == answer.json()


def test_an_amount_in_another_currency_is_said_to_take_nothing_off(bob: Customer) -> None:
    make_coupon(amount=money(500), currency="JPY")
    answer = redeem(bob).json()
    assert (answer["percent"], answer["amount"], answer["currency"], answer["plans"]) == (None, 500, "JPY", [])
    assert answer["next_invoice"] == {"discount": 0, "amount": 29.00, "currency": "USD"}


def test_each_refusal_has_its_reason(bob: Customer) -> None:
    make_coupon("OLD", valid_until=timezone.now())
    gone = make_coupon("GONE", most_redemptions=1)
    other = make_coupon("OTHER", is_on_sale=False)
    somebody = get_user_model().objects.create_user("somebody")
    CouponRedemption.objects.create(account=somebody, coupon=gone, redeemed_at=timezone.now())
    assert [refused(redeem(bob, code)) for code in ("none", "other", "old", "gone")] == [
        "unknown",
        "unknown",
        "expired",
        "used_up",
    ]
    make_coupon()
    redeem(bob)
    type(other).objects.update(is_on_sale=True)
    assert [refused(redeem(bob, code)) for code in ("spring", "other")] == ["already_redeemed", "another_active"]
    for body in ({}, {"code": ""}, {"code": 5.5e400}, {"code": "x" * 51}, {"code": "a\0"}, {"code": "x", "n": 1}):
        problem(bob.post(COUPON, body), 400, "invalid", {"errors"})


def test_it_is_given_up_for_good(bob: Customer) -> None:
    make_coupon()
    problem(bob.api.delete(COUPON), 409, "no_coupon")
    redeem(bob)
    assert bob.api.delete(COUPON).status_code == 204
    assert held(bob) is None
    assert refused(redeem(bob)) == "already_redeemed"
    problem(bob.api.delete(COUPON), 409, "no_coupon")


def test_a_retried_request_is_one(bob: Customer) -> None:
    make_coupon()
    first, second = (redeem(bob, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert (first.json(), second["Idempotency-Replayed"]) == (second.json(), "true")


def test_one_account_sees_nothing_of_another(bob: Customer, alice: Customer) -> None:
    make_coupon()
    redeem(bob)
    assert held(alice) is None
    problem(alice.api.delete(COUPON), 409, "no_coupon")


def test_without_a_plan(bob: Customer) -> None:
    make_coupon(periods=1)
    Plan.objects.update(is_default=False)
    Subscription.objects.update(status="canceled", ended_at=timezone.now())
    assert redeem(bob).json()["next_invoice"] is None
    shown = preview(bob, target_plan="pro").json()
    assert (shown["charge_for_target"], shown["discount"], shown["prorated_amount"]) == (49.00, 24.50, 24.50)
    assert upgrade(bob, "pro", quoted_at=shown["at"]).json()["prorated_amount"] == 24.50
    assert held(bob) is None, "its period is used"


def test_a_parked_account_waits_for_staff(bob: Customer) -> None:
    make_coupon()
    Subscription.objects.update(parked_at=timezone.now(), parked_because="x")
    problem(redeem(bob), 403, "forbidden")
    problem(bob.api.delete(COUPON), 403, "forbidden")


class TestPreview:
    def test_it_shows_what_the_upgrade_bills(self, bob: Customer, clock: Any) -> None:
        make_coupon(periods=1)
        plain = preview(bob, target_plan="pro").json()
        assert (plain["discount"], plain["coupon"]) == (None, None)
        what_if = preview(bob, target_plan="pro", coupon=" Spring ").json()
        assert (what_if["discount"], what_if["coupon"]) == (12.64, "SPRING")
        assert what_if["prorated_amount"] == round(plain["prorated_amount"] - 12.64, 2)
        assert held(bob) is None, "a preview redeems nothing"
        redeem(bob)
        clock.tick(60)
        shown = preview(bob, target_plan="pro").json()
        assert shown | {"at": ""} == what_if | {"at": ""}
        done = upgrade(bob, "pro", quoted_at=shown["at"]).json()
        assert done["prorated_amount"] == shown["prorated_amount"]
        lines = bob.api.get(f"{INVOICES}/{done['invoice']}").json()["lines"]
        assert [(line["description"], line["amount"]) for line in lines] == [
            ("Unused time on Starter", -14.97),
            ("Remaining time on Pro", 25.29),
            ("SPRING: 50 % off", -12.64),
        ]

    def test_it_refuses_as_redeeming_does(self, bob: Customer) -> None:
        make_coupon()
        assert refused(preview(bob, target_plan="pro", coupon="none")) == "unknown"
        redeem(bob)
        assert refused(preview(bob, target_plan="pro", coupon="spring")) == "already_redeemed"

    def test_a_quote_ends_when_the_coupon_is_given_up(self, bob: Customer, clock: Any) -> None:
        make_coupon()
        redeem(bob)
        clock.tick(60)
        quoted_at = preview(bob, target_plan="pro").json()["at"]
        clock.tick(60)
        bob.api.delete(COUPON)
        problem(upgrade(bob, "pro", quoted_at=quoted_at), 409, "quote_expired")
        anew = preview(bob, target_plan="pro").json()
        assert (anew["discount"], upgrade(bob, "pro", quoted_at=anew["at"]).status_code) == (None, 200)


def test_the_subscription_shows_it(bob: Customer, clock: Any) -> None:
    make_coupon(periods=1)
    redeem(bob)
    shown = bob.api.get(SUBSCRIPTION).json()
    assert (shown["period_price"], shown["discount"], shown["coupon"], shown["next_invoice_amount"]) == (
        29,
        None,
        None,
        14.5,
    )
    clock.move_to("2031-04-01T00:00:00Z")
    late = bob.api.get(SUBSCRIPTION).json()
    renewal.renew_due(timezone.now())
    shown = bob.api.get(SUBSCRIPTION).json()
    assert late == shown
    assert (shown["period_price"], shown["discount"], shown["coupon"], shown["next_invoice_amount"]) == (
        29,
        14.5,
        "SPRING",
        29,
    )
    newest = bob.api.get(INVOICES).json()["results"][0]
    assert ([line["amount"] for line in newest["lines"]], newest["total"]) == ([29.0, -14.5], 14.5)


class TestGuesses:
    def test_unknown_codes_end_and_so_does_the_wait(self, bob: Customer) -> None:
        make_coupon()
        answers = [redeem(bob, f"guess{n}") for n in range(5)]
        answers += [preview(bob, target_plan="pro", coupon=f"guess{n}") for n in range(5)]
        assert {refused(answer) for answer in answers} == {"unknown"}
        assert len({answer.json()["detail"] for answer in answers}) == 1
        for answer in (
            redeem(bob, "guess"),
            redeem(bob),
            bob.post(PREVIEW, {"target_plan": "pro", "coupon": "spring"}),
        ):
            body = problem(answer, 429, "rate_limited", {"retry_after"})
            assert 0 < body["retry_after"] == int(answer["Retry-After"]) <= 600
        cache.clear()
        assert redeem(bob).status_code == 200

    def test_what_is_known_costs_none_of_them(self, bob: Customer) -> None:
        make_coupon()
        for _ in range(30):
            assert preview(bob, target_plan="pro", coupon="spring").status_code == 200
        assert redeem(bob).status_code == 200
        for _ in range(30):
            assert refused(redeem(bob)) == "already_redeemed"

    def test_they_are_each_accounts_own(self, bob: Customer, customer: Any) -> None:
        carol = lift_minute(customer("carol", "pro"))
        for n in range(11):
            redeem(bob, f"guess{n}")
        assert refused(redeem(carol, "guess")) == "unknown"

    def test_many_at_once_are_no_more(self, alice: Customer) -> None:
        answers = at_once(*[lambda: find_coupon(alice.account, "guess", timezone.now())] * 40)
        codes = [answer.code for answer in answers if isinstance(answer, Problem)]
        assert (codes.count("coupon_invalid"), codes.count("rate_limited")) == (10, 30)

    def test_without_the_cache_a_code_is_redeemed(self, alice: Customer, settings: Any) -> None:
        make_coupon()
        settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}}
        assert redeem(alice).status_code == 200
