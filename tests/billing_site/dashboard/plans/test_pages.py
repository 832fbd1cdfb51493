"""Changing plans on the dashboard: what is shown is what is billed, once, and what is refused says why."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone, translation
from django.utils.formats import date_format

from billing.models import Invoice, Plan, Subscription, TokenPack, TokenPackPurchase
from billing.subscriptions.previews import calculate_proration
from billing_site.templatetags.money import money
from tests.billing_site.dashboard.conftest import Person, text
from tests.cast import Customer, call
from tests.clock import moved_by_hand
from tests.factories import make_coupon, make_rate, make_seller
from usage.drain import drain

pytestmark = pytest.mark.django_db


def subscription(customer: Customer) -> Subscription:
    return Subscription.objects.live().get(account=customer.account)


@pytest.fixture
def bob_there(bob: Customer, at_dashboard: Callable[..., Person]) -> Person:
    return at_dashboard(bob.user)


@pytest.fixture
def dave_there(dave: Customer, at_dashboard: Callable[..., Person]) -> Person:
    return at_dashboard(dave.user)


def test_every_plan_is_a_card_with_the_way_to_it(bob_there: Person) -> None:
    page = bob_there.open("plans/")
    assert "You are on Starter" in page
    for way in (
        "Change to Pro",
        "Community from the next period on",
        "$49.00",
        "Unlimited tokens",
        "500 tokens a month",
    ):
        assert way in page
    assert 'href="/dashboard/plans/change/starter/"' not in page


def test_an_upgrade_costs_what_its_page_says(bob: Customer, bob_there: Person) -> None:
    make_seller()
    make_rate("DE", 19)
    page = bob_there.open("plans/change/pro/")
    quote = calculate_proration(bob.account, Plan.objects.get(code="pro"), timezone.now())
    due = quote.bill(quote.at).gross
    assert f"Change now for {money(due, 'USD')}" in page and "VAT 19" in page
    after = bob_there.confirm("plans/change/pro/")
    assert "You are on Pro now. Your invoice is INV-000002." in after
    assert Invoice.objects.get(number="INV-000002").total == due
    assert subscription(bob).plan.code == "pro"


def test_a_form_that_is_sent_twice_changes_once(bob: Customer, bob_there: Person) -> None:
    fields = bob_there.fields("plans/change/pro/")
    pages = [bob_there.send("plans/change/pro/", **fields) for _ in range(2)]
    assert all("You are on Pro" in page for page in pages)
    assert Invoice.objects.filter(account=bob.account).count() == 2


def test_a_price_that_was_edited_meanwhile_is_shown_and_not_billed(bob: Customer, bob_there: Person) -> None:
    fields = bob_there.fields("plans/change/pro/")
    pro = Plan.objects.get(code="pro")
    pro.price = Decimal(60)
    pro.save()
    page = bob_there.send("plans/change/pro/", **fields)
    assert "Something has changed since you looked" in page and "$60.00" in page
    assert subscription(bob).plan.code == "starter"


def test_an_old_page_is_shown_anew(bob: Customer, at_dashboard: Callable[..., Person]) -> None:
    with moved_by_hand(timezone.now().isoformat()) as clock:
        there = at_dashboard(bob.user)
        fields = there.fields("plans/change/pro/")
        clock.tick(901)
        assert "More than 15 minutes have passed" in there.send("plans/change/pro/", **fields)
        clock.tick(-900)
    assert subscription(bob).plan.code == "starter"


@pytest.mark.parametrize("lost", ["quoted_at", "digest"])
def test_what_was_not_looked_at_is_not_bought(bob: Customer, bob_there: Person, lost: str) -> None:
    bob_there.send("plans/change/pro/", **bob_there.fields("plans/change/pro/") | {lost: "x"})
    assert subscription(bob).plan.code == "starter"


def test_a_downgrade_is_scheduled_and_taken_back(bob: Customer, bob_there: Person) -> None:
    assert "You keep Starter and its quota until" in bob_there.open("plans/change/community/")
    assert "Community follows on" in bob_there.confirm("plans/change/community/")
    assert subscription(bob).scheduled_plan == Plan.objects.get(code="community")
    assert "You keep Starter." in bob_there.send("plans/keep/", form="a")
    assert subscription(bob).scheduled_plan is None


@pytest.mark.django_db(transaction=True)
def test_what_is_in_use_blocks_a_downgrade_and_is_named(dave: Customer, dave_there: Person) -> None:
    assert call(dave, "ai_agent_query").admitted
    drain.drain()
    page = dave_there.open("plans/change/community/")
    assert "does not include what you have used" in page and "AI agents" in page and "Schedule the change" not in page
    today = timezone.now().date()
    with translation.override("en"):
        last, free = date_format(today), date_format(today + timedelta(days=31))
    assert f"last called on {last}" in page and f"the change is possible from {free} on" in page
    dave_there.send("plans/change/community/", form="a")
    assert subscription(dave).scheduled_plan is None


def test_canceling_says_when_it_ends_and_is_taken_back(bob: Customer, bob_there: Person) -> None:
    assert "Then you are on Community." in bob_there.open("plans/cancel/")
    assert "Your subscription ends on" in bob_there.confirm("plans/cancel/", reason="too <dear>")
    assert subscription(bob).cancel_reason == "too <dear>"
    assert "You keep Starter." in bob_there.send("plans/keep/", form="b")
    assert subscription(bob).cancel_at is None


def test_keeping_where_nothing_follows_says_so(bob_there: Person) -> None:
    assert "No change is scheduled." in bob_there.send("plans/keep/", form="a")


def test_a_trial_is_offered_and_can_be_declined(alice: Customer, at_dashboard: Callable[..., Person]) -> None:
    Plan.objects.filter(code="pro").update(trial_days=14)
    there = at_dashboard(alice.user)
    assert "Your trial is free until" in there.open("plans/change/pro/")
    assert "To pay" in there.open("plans/change/pro/?trial=no")
    assert "Your trial of Pro has begun" in there.confirm("plans/change/pro/")
    assert subscription(alice).is_on_trial


def test_a_pack_is_bought_once(bob: Customer, bob_there: Person) -> None:
    TokenPack.objects.create(code="small", name="Small", tokens=1000, price=5, counts_at_once=True)
    assert "1,000 tokens on top" in bob_there.open("plans/packs/small/")
    fields = bob_there.fields("plans/packs/small/")
    pages = [bob_there.send("plans/packs/small/", **fields) for _ in range(2)]
    assert all("Small is yours" in page for page in pages)
    assert TokenPackPurchase.objects.count() == 1
    bob_there.confirm("plans/packs/small/")
    assert TokenPackPurchase.objects.count() == 2, "another page is another purchase"


def test_a_coupon_is_redeemed_and_given_up(bob: Customer, bob_there: Person) -> None:
    make_coupon("SPRING", percent=50)
    assert "There is no such coupon." in bob_there.send("plans/coupon/", code="nope", form="a")
    assert "SPRING is redeemed: 50 % off." in bob_there.send("plans/coupon/", code=" spring ", form="b")
    assert "Give it up for good" in bob_there.open("plans/")
    assert "The coupon is given up." in bob_there.send("plans/coupon/", give_up="yes", form="c")


def test_guesses_of_coupons_end(bob_there: Person) -> None:
    pages = [bob_there.send("plans/coupon/", code=f"guess-{n}", form=f"a{n}") for n in range(11)]
    assert "There is no such coupon." in pages[9] and "Too many tries. Try again in 10 minutes." in pages[10]


@pytest.mark.parametrize("wrong", ["-1", "many", "1.5", "9" * 30])
def test_a_cap_is_a_number_of_tokens(bob: Customer, bob_there: Person, wrong: str) -> None:
    assert "Give a whole number of tokens" in bob_there.send("plans/cap/", cap_tokens=wrong)
    assert subscription(bob).overage_cap_tokens is None


def test_a_plan_without_overage_has_no_cap(bob_there: Person) -> None:
    assert "Most tokens above the quota" not in bob_there.open("plans/")
    assert "sells no tokens above the quota" in bob_there.send("plans/cap/", cap_tokens="5", form="a")


@pytest.mark.parametrize("path", ["plans/change/nothing/", "plans/packs/nothing/"])
def test_what_is_not_on_sale_is_not_there(bob_there: Person, path: str) -> None:
    assert bob_there.client.get(f"/dashboard/{path}").status_code == 404


@pytest.mark.parametrize("path", ["plans/keep/", "plans/cap/", "plans/coupon/"])
def test_looking_at_what_only_writes_does_nothing(bob_there: Person, path: str) -> None:
    assert bob_there.client.get(f"/dashboard/{path}").status_code == 405


def test_cards_say_what_would_be_more_and_less(dave_there: Person) -> None:
    cards = {card.split("</h3>")[0].split("<h3>")[1]: card for card in dave_there.open("plans/").split("<article")[1:]}
    assert "without AI agents" in cards["Pro"] and "less" in cards["Pro"] and "more" not in cards["Pro"]
    assert "more" in cards["Plus"] and "less" not in cards["Plus"]
    assert "compared" not in cards["Business"]


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_a_trial_is_on_the_card_of_who_would_get_it(
    alice: Customer, bob: Customer, who: str, at_dashboard: Callable[..., Person]
) -> None:
    Plan.objects.filter(code="pro").update(trial_days=14)
    person = at_dashboard({"alice": alice, "bob": bob}[who].user)
    assert ("14 days free" in person.open("plans/")) == (who == "alice"), "bob pays for a plan"


def test_while_a_trial_runs_pages_say_what_follows(alice: Customer, at_dashboard: Callable[..., Person]) -> None:
    Plan.objects.filter(code="pro").update(trial_days=14)
    there = at_dashboard(alice.user)
    there.confirm("plans/change/pro/")
    for path in ("", "plans/"):
        assert "Then the paid plan begins. The next invoice is $49.00." in text(there.open(path))
    there.confirm("plans/change/starter/")
    for path in ("", "plans/"):
        assert "Then Starter follows. The next invoice is $29.00." in text(there.open(path))


def test_where_tokens_are_unlimited_no_pack_is_sold(
    bob_there: Person, carol: Customer, at_dashboard: Callable[..., Person]
) -> None:
    TokenPack.objects.create(name="Small", code="small", tokens=100, price=5, is_on_sale=True)
    assert "/dashboard/plans/packs/small/" in bob_there.open("plans/")
    there = at_dashboard(carol.user)
    assert "/dashboard/plans/packs/small/" not in there.open("plans/")
    answer = there.client.get("/dashboard/plans/packs/small/", follow=True)
    assert "Tokens are unlimited on Pro" in answer.text


@pytest.mark.parametrize(("at_once", "said"), [(True, "They lapse on"), (False, "Paid today, they lapse on")])
def test_a_pack_says_on_which_day_its_tokens_lapse(bob: Customer, bob_there: Person, at_once: bool, said: str) -> None:
    for code, days in (("month", 90), ("day", 1)):
        TokenPack.objects.create(name=code, code=code, tokens=9, price=5, valid_days=days, counts_at_once=at_once)
    with moved_by_hand("2031-03-10T12:00:00Z"):
        bob_there.client.force_login(bob.user)
        pages = [text(bob_there.open(f"plans/packs/{code}/")) for code in ("month", "day")]
        assert "The quota is renewed on 1 Apr 2031." in text(bob_there.open("plans/"))
    for page, day in zip(pages, ("1 Apr 2031", "11 Mar 2031"), strict=True):
        assert f"{said} {day}." in page


@pytest.mark.parametrize(
    ("included", "said"),
    [(False, "Prices are without VAT 19 %, which comes on top."), (True, "Prices include VAT 19 %.")],
)
def test_prices_say_whether_tax_is_in_them(bob_there: Person, settings: Any, included: bool, said: str) -> None:
    settings.PRICES_INCLUDE_TAX = included
    assert "Prices" not in text(bob_there.open("plans/")).split("All plans")[1], "without a seller there is no tax"
    make_seller()
    make_rate("DE", 19)
    for path in ("plans/", "plans/change/pro/"):
        assert said in text(bob_there.open(path))


def test_what_calls_cost_is_beside_the_plans(bob_there: Person) -> None:
    page = text(bob_there.open("plans/"))
    assert "What calls cost" in page and "ai_agent_query 5 AI agents" in page and "risk_score 2 every plan" in page
