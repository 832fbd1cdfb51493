"""Redeeming a coupon and giving it up: by whom, how often, until when, and what it leaves behind."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from billing.models import Coupon, CouponRedemption, OutboxMessage, Plan, Subscription
from billing.subscriptions import changes
from billing.subscriptions.coupons import discounts, redeeming
from billing.subscriptions.refusals import CouponInvalid, NoCoupon, UnderReview
from tests.billing.ledger import fresh, invoices, lines
from tests.billing.subscriptions.period_end.test_renewal_concurrency import at_once
from tests.factories import at, make_coupon, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, MIDDLE, END = at("2025-10-01"), at("2025-10-16"), at("2025-11-01")


def refused(account: int, code: str, now: Any = MIDDLE) -> str:
    with pytest.raises(CouponInvalid) as error:
        redeeming.redeem(account, code, now)
    return str(error.value.parameters["reason"])


@pytest.mark.parametrize("typed", ["SPRING", "spring", "  Spring\t"])
def test_a_code_is_compared_without_case_and_space(low: Plan, typed: str) -> None:
    make_coupon("Spring", periods=3)
    redemption = redeeming.redeem(make_subscription(low, START).account_id, typed, MIDDLE)
    assert (redemption.coupon.code, redemption.redeemed_at, redemption.periods_used) == ("Spring", MIDDLE, 0)
    assert redemption.periods_left == 3


def test_unknown_codes_and_those_that_are_not_to_be_redeemed(low: Plan) -> None:
    make_coupon("OFF", is_on_sale=False)
    account = make_subscription(low, START).account_id
    for code in ("OFF", "NONE", "", "%", "SPRING' OR 1=1"):
        assert refused(account, code) == "unknown"


def test_it_is_valid_to_the_second(low: Plan) -> None:
    make_coupon(valid_until=MIDDLE)
    first, second = (make_subscription(low, START).account_id for _ in range(2))
    assert refused(first, "SPRING", MIDDLE) == "expired"
    assert redeeming.redeem(second, "SPRING", MIDDLE - timedelta(microseconds=1)).is_active


def test_as_many_redeem_it_as_may(low: Plan) -> None:
    make_coupon(most_redemptions=2)
    accounts = [make_subscription(low, START).account_id for _ in range(3)]
    for account in accounts[:2]:
        redeeming.redeem(account, "SPRING", MIDDLE)
    assert refused(accounts[2], "SPRING") == "used_up"
    redeeming.give_up(accounts[0], MIDDLE)
    assert refused(accounts[2], "SPRING") == "used_up", "one that was given up was redeemed"


def test_each_is_redeemed_once_an_account_for_ever(low: Plan) -> None:
    make_coupon()
    account = make_subscription(low, START).account_id
    redeeming.redeem(account, "SPRING", MIDDLE)
    assert refused(account, "spring") == "already_redeemed"
    redeeming.give_up(account, MIDDLE)
    assert refused(account, "spring") == "already_redeemed"


def test_one_at_a_time(low: Plan) -> None:
    make_coupon()
    make_coupon("SUMMER", periods=1)
    make_coupon("AUTUMN")
    account = make_subscription(low, START).account_id
    redeeming.redeem(account, "SUMMER", MIDDLE)
    assert refused(account, "SPRING") == "another_active"
    redeeming.give_up(account, MIDDLE)
    redeeming.redeem(account, "SPRING", MIDDLE)
    assert refused(account, "AUTUMN") == "another_active"
    with pytest.raises(IntegrityError, match="coupon_one_active"), transaction.atomic():
        CouponRedemption.objects.create(account_id=account, coupon=make_coupon("MORE"), redeemed_at=MIDDLE)


def test_once_it_is_used_up_another_may_follow(low: Plan) -> None:
    make_coupon("SUMMER", periods=1)
    make_coupon()
    account = make_subscription(low, START).account_id
    redeeming.redeem(account, "SUMMER", MIDDLE)
    redeeming.redeem(account, "SPRING", END)  # whose lock renews what is due
    assert [(each.coupon.code, each.periods_used) for each in CouponRedemption.objects.order_by("pk")] == [
        ("SUMMER", 1),
        ("SPRING", 0),
    ]


def test_given_up_or_withdrawn_it_discounts_nothing_more(low: Plan) -> None:
    make_coupon()
    subscription = make_subscription(low, START)
    account = subscription.account_id
    redemption = redeeming.redeem(account, "SPRING", MIDDLE)
    assert redeeming.withdraw(redemption, at("2025-11-15")).withdrawn_at == at("2025-11-15")
    for give_up in (lambda: redeeming.withdraw(redemption, END), lambda: redeeming.give_up(account, END)):
        with pytest.raises(NoCoupon):
            give_up()
    redeeming._lock(account, at("2025-12-01"))
    assert [invoice.total for invoice in invoices(subscription)] == [31, money("15.5"), 31], "what was billed stays"
    assert list(OutboxMessage.objects.filter(kind__startswith="coupon.").values_list("kind", "payload")) == [
        (kind, {"redemption": redemption.pk, "coupon": "SPRING"}) for kind in ("coupon.redeemed", "coupon.withdrawn")
    ]


def test_a_parked_account_waits_for_staff_who_may_withdraw(low: Plan) -> None:
    make_coupon()
    make_coupon("OTHER")
    subscription = make_subscription(low, START)
    redemption = redeeming.redeem(subscription.account_id, "SPRING", MIDDLE)
    with transaction.atomic():
        fresh(subscription).park("looks wrong", MIDDLE)
    for step in (
        lambda: redeeming.redeem(subscription.account_id, "OTHER", MIDDLE),
        lambda: redeeming.give_up(subscription.account_id, MIDDLE),
    ):
        with pytest.raises(UnderReview):
            step()
    assert not redeeming.withdraw(redemption, MIDDLE).is_active


def test_before_there_is_a_plan(low: Plan) -> None:
    account = get_user_model().objects.create_user("new").pk
    make_coupon(periods=1)
    redeeming.redeem(account, "SPRING", MIDDLE)
    assert not Subscription.objects.exists()
    changed = changes.upgrade(account, low, MIDDLE)
    assert (changed.proration.charge, changed.proration.discount, changed.proration.net) == (
        31,
        money("15.5"),
        money("15.5"),
    )
    assert changed.invoice and lines(changed.invoice) == [("base", 31), ("discount", money("-15.5"))]
    assert discounts.active(account) is None
    with pytest.raises(NoCoupon):
        redeeming.give_up(account, MIDDLE)


class TestWhatStaffMayWrite:
    def test_what_it_gives_is_fixed_once_redeemed(self, low: Plan) -> None:
        coupon = make_coupon(periods=2)
        coupon.percent = money(60)
        coupon.full_clean()
        coupon.save()
        redeeming.redeem(make_subscription(low, START).account_id, "SPRING", MIDDLE)
        for change in (
            {"percent": money(50)},
            {"periods": 3},
            {"percent": None, "amount": money(5), "currency": "USD"},
        ):
            edited = Coupon.objects.get()
            for name, value in change.items():
                setattr(edited, name, value)
            with pytest.raises(ValidationError, match="was redeemed"):
                edited.full_clean()
        edited = Coupon.objects.get()
        edited.name, edited.most_redemptions, edited.valid_until, edited.is_on_sale = "Else", 9, END, False
        edited.full_clean()

    @pytest.mark.parametrize(
        ("terms", "wrong"),
        [
            ({"percent": 0}, "percent"),
            ({"percent": "0.001"}, "percent"),
            ({"percent": "100.01"}, "percent"),
            ({"percent": None}, "__all__"),
            ({"percent": 5, "amount": 5, "currency": "USD"}, "__all__"),
            ({"percent": 5, "currency": "USD"}, "__all__"),
            ({"percent": None, "amount": 5}, "__all__"),
            ({"percent": None, "amount": 0, "currency": "USD"}, "amount"),
            ({"percent": None, "amount": "0.5", "currency": "JPY"}, "amount"),
            ({"percent": None, "amount": 5, "currency": "XXQ"}, "currency"),
            ({"periods": 0}, "periods"),
            ({"most_redemptions": 0}, "most_redemptions"),
            ({"code": "with space"}, "code"),
            ({"code": "sprıng"}, "code"),
        ],
    )
    def test_what_makes_no_sense_is_named(self, terms: dict[str, Any], wrong: str) -> None:
        numbers = {
            name: money(value) if name in ("percent", "amount") and value is not None else value
            for name, value in terms.items()
        }
        with pytest.raises(ValidationError) as error:
            Coupon(**{"code": "C", "name": "c", "percent": money(5)} | numbers).full_clean()
        assert wrong in error.value.message_dict

    def test_a_code_is_one_in_any_case(self) -> None:
        make_coupon("Spring")
        with pytest.raises(ValidationError, match="There is a coupon of this code"):
            Coupon(code="sPRING", name="c", percent=money(5)).full_clean()
        with pytest.raises(IntegrityError), transaction.atomic():
            make_coupon("SPRING")


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_the_last_redemptions_are_given_out_exactly(self, low: Plan) -> None:
        coupon = make_coupon(most_redemptions=7)
        accounts = [make_subscription(low, START).account_id for _ in range(20)]
        answers = at_once(
            *[lambda account=account: redeeming.redeem(account, "SPRING", MIDDLE) for account in accounts]
        )
        reasons = [answer.parameters["reason"] for answer in answers if isinstance(answer, CouponInvalid)]
        assert (coupon.redemptions.count(), reasons) == (7, ["used_up"] * 13), answers

    @pytest.mark.parametrize("has_plan", [True, False])
    def test_of_two_coupons_an_account_redeems_one(self, low: Plan, has_plan: bool) -> None:
        account = get_user_model().objects.create_user("new").pk
        if has_plan:
            account = make_subscription(low, START).account_id
        codes = [f"C{number}" for number in range(6)]
        for code in codes:
            make_coupon(code)
        answers = at_once(*[lambda code=code: redeeming.redeem(account, code, MIDDLE) for code in codes * 2])
        reasons = {answer.parameters["reason"] for answer in answers if isinstance(answer, CouponInvalid)}
        assert CouponRedemption.objects.count() == 1, answers
        assert reasons <= {"another_active", "already_redeemed"}
        assert sum(isinstance(answer, CouponInvalid) for answer in answers) == 11

    def test_it_is_used_or_given_up_but_not_both(self, low: Plan) -> None:
        """Whichever is first: the upgrade is discounted, and one period of the coupon is used, or neither."""
        high = make_plan("high", 93, 3)
        for number in range(6):
            make_coupon(f"C{number}", periods=1)
            subscription = make_subscription(low, START)
            account = subscription.account_id
            redeeming.redeem(account, f"C{number}", START)
            changed, given_up = at_once(
                lambda account=account: changes.upgrade(account, high, MIDDLE),  # type: ignore[misc]
                lambda account=account: redeeming.give_up(account, MIDDLE),  # type: ignore[misc]
            )
            redemption = CouponRedemption.objects.get(account=account)
            assert isinstance(changed, changes.Changed), changed
            assert redemption.periods_used == bool(changed.proration.discount)
            assert isinstance(given_up, NoCoupon) == bool(changed.proration.discount)
