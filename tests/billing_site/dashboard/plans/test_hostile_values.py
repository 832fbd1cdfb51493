"""What browsers and rivals do to the pages that buy: nothing is bought that was not shown, and nothing fails."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.utils import timezone

from billing.models import CouponRedemption, Invoice, Member, Plan, Subscription, TokenPack, TokenPackPurchase
from billing.subscriptions import changes
from billing.subscriptions.refusals import QuoteExpired
from billing_site.dashboard.access import ACCOUNT
from tests.billing_site.dashboard.conftest import Person
from tests.cast import Customer
from tests.factories import make_coupon, make_rate, make_seller

pytestmark = pytest.mark.django_db
WRITES = (
    "plans/change/pro/",
    "plans/cancel/",
    "plans/keep/",
    "plans/cap/",
    "plans/coupon/",
    "plans/packs/small/",
    "billing/details/",
)


@pytest.fixture
def bob_there(bob: Customer, at_dashboard: Callable[..., Person]) -> Person:
    return at_dashboard(bob.user)


def live(customer: Customer) -> Subscription:
    return Subscription.objects.live().get(account=customer.account)


def acting_for(account: Customer, member: Customer, role: str, at_dashboard: Callable[..., Person]) -> Person:
    Member.objects.create(account=account.user, user=member.user, role=role, created_at=timezone.now())
    there = at_dashboard(member.user)
    session = there.client.session
    session[ACCOUNT] = account.account
    session.save()
    return there


def test_two_forms_of_one_page_are_two_changes(bob: Customer, bob_there: Person) -> None:
    make_coupon("SPRING", percent=50)
    token = bob_there.fields("plans/")["form"]
    assert "You keep" not in bob_there.send("plans/cancel/", form=token)
    assert "SPRING is redeemed" in bob_there.send("plans/coupon/", code="SPRING", form=token)
    assert CouponRedemption.objects.filter(account=bob.account).exists()


def test_an_upgrade_that_became_a_downgrade_is_shown_and_not_scheduled(bob: Customer, bob_there: Person) -> None:
    fields = bob_there.fields("plans/change/pro/")
    Plan.objects.filter(code="pro").update(rank=0)
    page = bob_there.send("plans/change/pro/", **fields)
    assert "from the next period on" in page and "Something has changed since you looked" in page
    assert live(bob).scheduled_plan is None


def test_a_downgrade_that_became_an_upgrade_is_shown_and_not_billed(bob: Customer, bob_there: Person) -> None:
    fields = bob_there.fields("plans/change/community/")
    Plan.objects.filter(code="community").update(price=Decimal(60), rank=90)
    page = bob_there.send("plans/change/community/", **fields)
    assert "Something has changed since you looked" in page and "$60.00" in page
    assert live(bob).plan.code == "starter"


def test_a_first_plan_whose_tax_changed_meanwhile_is_shown_and_not_billed(
    catalogue: None, at_dashboard: Callable[..., Person]
) -> None:
    Plan.objects.filter(is_default=True).update(is_default=False)
    there = at_dashboard(get_user_model().objects.create_user("nora"))
    fields = there.fields("plans/change/pro/")
    make_seller()
    make_rate("DE", 19)
    page = there.send("plans/change/pro/", **fields)
    assert not Invoice.objects.filter(account=there.user).exists(), "it costs 19 % more than was shown"
    assert "has changed since you looked" in page


def test_over_http_a_first_plan_is_held_to_its_tax_as_well(catalogue: None) -> None:
    Plan.objects.filter(is_default=True).update(is_default=False)
    nora = get_user_model().objects.create_user("nora")
    shown = timezone.now()
    make_seller()
    make_rate("DE", 19)
    with pytest.raises(QuoteExpired) as refused:
        changes.upgrade(nora.pk, Plan.objects.get(code="pro"), timezone.now(), shown)
    assert refused.value.parameters["reason"] == "tax"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("plans/cancel/", {"reason": "a\0b"}),
        ("plans/coupon/", {"code": "a\0b"}),
        ("plans/cap/", {"cap_tokens": "\0"}),
        ("plans/change/pro/", {"quoted_at": "\0", "digest": "\0"}),
        ("billing/details/", {"name": "a\0b", "country": "DE"}),
        ("plans/cancel/", {"form": "é" * 300}),
    ],
)
def test_odd_bytes_are_an_answer(bob_there: Person, path: str, fields: dict[str, str]) -> None:
    bob_there.send(path, **{"form": "abc"} | fields)


@pytest.mark.parametrize("path", ["invoices/%00/", "invoices/a%00b/pdf/", "credit-notes/%00/pdf/"])
def test_odd_numbers_are_not_there(bob_there: Person, path: str) -> None:
    assert bob_there.client.get(f"/dashboard/billing/{path}").status_code == 404


@pytest.mark.parametrize("role", ["viewer", "developer"])
def test_who_does_not_pay_buys_nothing(
    bob: Customer, carol: Customer, at_dashboard: Callable[..., Person], role: str
) -> None:
    TokenPack.objects.create(code="small", name="Small", tokens=1000, price=5, counts_at_once=True)
    there = acting_for(bob, carol, role, at_dashboard)
    for path in WRITES:
        assert there.client.post(f"/dashboard/{path}", {"form": "a", "code": "x"}).status_code == 403, path
    for page in ("plans/", "billing/"):
        text = there.open(page).split("<main", 1)[1].split("</main>")[0]
        assert "<form" not in text and "/plans/change/" not in text and "/billing/details/" not in text


def test_who_pays_for_another_buys_for_the_other(
    bob: Customer, carol: Customer, at_dashboard: Callable[..., Person]
) -> None:
    there = acting_for(bob, carol, "billing", at_dashboard)
    assert "You are on Business now" in there.confirm("plans/change/business/")
    assert (live(bob).plan.code, live(carol).plan.code) == ("business", "pro")
    theirs = Invoice.objects.filter(account=carol.account).first()
    assert theirs and there.client.get(f"/dashboard/billing/invoices/{theirs.number}/").status_code == 404


def test_forms_of_other_sites_are_refused(bob: Customer) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(bob.user)
    for path in WRITES:
        assert client.post(f"/dashboard/{path}", {"form": "a"}).status_code == 403, path


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["upgrade", "pack"])
def test_clicks_at_one_moment_buy_once(bob: Customer, bob_there: Person, what: str) -> None:
    TokenPack.objects.create(code="small", name="Small", tokens=1000, price=5, counts_at_once=True)
    path = {"upgrade": "plans/change/pro/", "pack": "plans/packs/small/"}[what]
    fields = bob_there.fields(path)

    def click(_: int) -> int:
        try:
            return Person(bob.user).client.post(f"/dashboard/{path}", fields).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as clicks:
        assert set(clicks.map(click, range(4))) == {302}
    assert Invoice.objects.filter(account=bob.account).count() == 2
    assert TokenPackPurchase.objects.count() == (1 if what == "pack" else 0)


def test_the_present_plan_shows_what_is_paid_for_it(bob: Customer, bob_there: Person) -> None:
    Plan.objects.filter(code="starter").update(price=Decimal(35), priced_at=timezone.now())
    card = bob_there.open("plans/").split('class="present"')[1].split("</article>")[0]
    assert "$29.00" in card and "$35.00" not in card


def test_numbers_are_written_as_people_write_them(bob: Customer, bob_there: Person) -> None:
    TokenPack.objects.create(code="small", name="Small", tokens=12000, price=5, counts_at_once=True)
    Plan.objects.filter(code="pro").update(monthly_token_quota=1_500_000)
    assert "1,500,000 tokens a month" in bob_there.open("plans/") and "12,000" in bob_there.open("plans/")
    assert "12,000 tokens on top" in bob_there.open("plans/packs/small/")
    german = bob_there.client.get("/dashboard/plans/", headers={"accept-language": "de"}).text
    assert "1.500.000" in german
