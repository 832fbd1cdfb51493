"""Coupons in the admin: what staff hand out, redeem for a customer after a look, and withdraw."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from freezegun import freeze_time

from billing.models import Coupon, CouponRedemption, Plan, Subscription
from billing.subscriptions.coupons import redeeming
from billing.subscriptions.period_end import renewal
from tests.billing.forms import form_errors
from tests.billing.ledger import fresh
from tests.billing.staff import confirm, on_starter_since_october, page, shown, text_of, told
from tests.cast import Staff
from tests.factories import at, make_coupon, money

pytestmark = pytest.mark.django_db
MIDDLE, END = at("2025-10-16"), at("2025-11-01")
FIELDS = {"code": "Spring", "name": "Half price", "percent": "50", "is_on_sale": "on"}
LIST, REDEMPTIONS = "billing/coupon/", "billing/couponredemption/"


@pytest.fixture
def october(catalogue: None) -> Subscription:
    return on_starter_since_october()


def listed(staff: Staff, path: str) -> list[str]:
    return [str(row) for row in staff.open(path).context["cl"].result_list]


class TestTheCatalogue:
    def test_staff_add_one(self, superuser: Staff, catalogue: None) -> None:
        pro = Plan.objects.get(code="pro")
        fields = {"periods": 3, "most_redemptions": 100, "valid_until_0": "2031-01-01", "valid_until_1": "12:00:00"}
        assert superuser.send(f"{LIST}add/", **FIELDS, **fields, plans=[pro.pk]).status_code == 302
        made = Coupon.objects.get()
        assert (made.code, made.percent, made.currency, made.periods, made.most_redemptions) == (
            "Spring",
            50,
            "",
            3,
            100,
        )
        assert (made.valid_until, list(made.plans.all())) == (at("2031-01-01 12:00:00"), [pro])
        assert superuser.open(f"{LIST}{made.pk}/history/").status_code == 200

    def test_or_an_amount(self, superuser: Staff, catalogue: None) -> None:
        amount = {"percent": "", "amount": "5", "currency": "usd"}
        assert superuser.send(f"{LIST}add/", **FIELDS | amount).status_code == 302
        assert Coupon.objects.get().takes() == "5.00 USD"

    @pytest.mark.parametrize(
        ("given", "wrong"),
        [
            ({"percent": "100.01"}, "percent"),
            ({"percent": "33.333"}, "percent"),
            ({"percent": ""}, "__all__"),
            ({"amount": "5", "currency": "USD"}, "__all__"),
            ({"percent": "", "amount": "0.001", "currency": "USD"}, "amount"),
            ({"code": "two words"}, "code"),
            ({"periods": "0"}, "periods"),
        ],
    )
    def test_a_wrong_value_is_named(self, superuser: Staff, given: dict[str, Any], wrong: str) -> None:
        assert wrong in form_errors(superuser.send(f"{LIST}add/", **FIELDS | given))

    def test_a_code_in_another_case_is_the_same(self, superuser: Staff) -> None:
        make_coupon("SPRING")
        assert "There is a coupon of this code." in str(form_errors(superuser.send(f"{LIST}add/", **FIELDS)))

    def test_an_amount_is_for_plans_of_its_currency(self, superuser: Staff, catalogue: None) -> None:
        pro = Plan.objects.get(code="pro")
        fields = FIELDS | {"percent": "", "amount": "500", "currency": "JPY", "plans": [pro.pk]}
        assert form_errors(superuser.send(f"{LIST}add/", **fields))["plans"] == ["Not sold in JPY: Pro."]

    def test_what_it_gives_stays_once_redeemed(self, superuser: Staff, october: Subscription) -> None:
        coupon = make_coupon()
        redeeming.redeem(october.account_id, "SPRING", MIDDLE)
        change = f"{LIST}{coupon.pk}/change/"
        assert superuser.send(change, name="Other", percent="90", periods="1", code="ELSE").status_code == 302
        coupon.refresh_from_db()
        assert (coupon.name, coupon.percent, coupon.periods, coupon.code, coupon.is_on_sale) == (
            "Other",
            50,
            None,
            "SPRING",
            False,
        )
        assert superuser.send(f"{LIST}{coupon.pk}/delete/", post="yes").status_code == 403

    def test_the_list_counts_and_filters(self, superuser: Staff, october: Subscription) -> None:
        make_coupon("SPRING", most_redemptions=5)
        make_coupon("FIVE", amount=money(5), currency="USD", valid_until=MIDDLE, is_on_sale=False)
        redeeming.redeem(october.account_id, "SPRING", MIDDLE)
        text = text_of(superuser.open(LIST))
        for said in ("50 %", "5.00 USD", "1 of 5", "all periods"):
            assert said in text
        for query, found in {
            "valid=no": ["FIVE"],
            "valid=yes": ["SPRING"],
            "kind=amount": ["FIVE"],
            "kind=percent": ["SPRING"],
            "is_on_sale__exact=1": ["SPRING"],
            "q=five": ["FIVE"],
        }.items():
            assert listed(superuser, f"{LIST}?{query}") == found, query

    def test_permissions(self, clerk: Staff, october: Subscription) -> None:
        make_coupon()
        redemption = redeeming.redeem(october.account_id, "SPRING", MIDDLE)
        for path in (LIST, REDEMPTIONS, f"{REDEMPTIONS}{redemption.pk}/withdraw/", page(october, "redeem_coupon")):
            assert clerk.open(path).status_code == 403
        clerk.may("billing.view_coupon", "billing.view_couponredemption", "billing.view_subscription")
        assert clerk.open(LIST).status_code == 200
        assert clerk.send(f"{LIST}add/", **FIELDS).status_code == 403
        assert clerk.send(f"{REDEMPTIONS}{redemption.pk}/withdraw/").status_code == 403
        assert clerk.send(page(october, "redeem_coupon"), code="SPRING").status_code == 403


@freeze_time("2025-10-16")
class TestForACustomer:
    def test_it_is_shown_before_it_is_redeemed(self, superuser: Staff, october: Subscription) -> None:
        make_coupon(periods=2)
        asked = text_of(superuser.open(page(october, "redeem_coupon")))
        assert 'value="SPRING"' in asked
        text = text_of(superuser.open(page(october, "redeem_coupon") + "?code=spring"))
        assert "29.00 USD → 14.50 USD" in text
        assert not CouponRedemption.objects.exists(), "looking redeems nothing"
        answer = confirm(superuser, october, redemption_form(text), "redeem_coupon")
        assert "Coupon SPRING redeemed: 50 % off, 2 periods." in told(answer)
        assert CouponRedemption.objects.get().periods_left == 2
        assert LogEntry.objects.get().get_change_message().startswith("Coupon SPRING redeemed")
        assert "50 % off, 2 periods left" in text_of(superuser.open(f"billing/subscription/{october.pk}/change/"))

    def test_what_is_refused_is_said(self, superuser: Staff, october: Subscription) -> None:
        assert "There is no such coupon." in told(superuser.open(page(october, "redeem_coupon") + "?code=none"))
        make_coupon()
        form = redemption_form(text_of(superuser.open(page(october, "redeem_coupon") + "?code=spring")))
        Coupon.objects.update(percent=money(60))
        assert "This is how it stands now" in told(confirm(superuser, october, form, "redeem_coupon"))
        assert not CouponRedemption.objects.exists()

    def test_a_change_of_plan_shows_it(self, superuser: Staff, october: Subscription) -> None:
        make_coupon()
        redeeming.redeem(october.account_id, "SPRING", MIDDLE)
        text = text_of(superuser.open(f"{page(october, 'change_plan')}?target=pro"))
        assert "Discount of SPRING" in text
        assert "SPRING: 50 % off" in text
        form = shown(superuser, october, "pro")
        assert "Changed from Starter to Pro" in told(confirm(superuser, october, form))
        assert fresh(october).current_period().discount == money("24.5")

    def test_and_ends_when_it_is_given_up_in_between(self, superuser: Staff, october: Subscription) -> None:
        make_coupon()
        redeeming.redeem(october.account_id, "SPRING", MIDDLE)
        form = shown(superuser, october, "pro")
        redeeming.give_up(october.account_id, MIDDLE)
        assert "This is how it stands now" in told(confirm(superuser, october, form))
        assert fresh(october).plan.code == "starter"

    def test_it_is_withdrawn(self, superuser: Staff, october: Subscription) -> None:
        make_coupon()
        redemption = redeeming.redeem(october.account_id, "SPRING", MIDDLE)
        path = f"{REDEMPTIONS}{redemption.pk}/withdraw/"
        assert "what was billed stays" in text_of(superuser.open(path))
        answer = superuser.client.post(f"/admin/{path}", follow=True)
        assert "withdrawn" in told(answer)
        redemption.refresh_from_db()
        assert redemption.withdrawn_at == MIDDLE
        assert "no coupon" in told(superuser.client.post(f"/admin/{path}", follow=True))


def test_redemptions_are_found_by_state(superuser: Staff, october: Subscription) -> None:
    make_coupon(periods=1)
    redemption = redeeming.redeem(october.account_id, "SPRING", MIDDLE)

    def found() -> list[int]:
        return [len(listed(superuser, f"{REDEMPTIONS}?state={state}")) for state in ("active", "used", "withdrawn")]

    assert found() == [1, 0, 0]
    renewal.renew_due(END)
    assert found() == [0, 1, 0]
    CouponRedemption.objects.update(withdrawn_at=END)
    assert found() == [0, 0, 1]
    assert len(listed(superuser, f"{REDEMPTIONS}?q=spring")) == 1
    assert superuser.open(f"{REDEMPTIONS}{redemption.pk}/change/").status_code == 200
    assert superuser.send(f"{REDEMPTIONS}add/").status_code == 403


def redemption_form(text: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(code|digest)" value="([^"]*)">', text))
