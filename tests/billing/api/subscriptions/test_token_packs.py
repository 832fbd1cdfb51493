"""Token packs: what is on sale, buying one, and when its tokens count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from billing.invoicing import credit_notes
from billing.models import Invoice, InvoiceLine, Subscription, TokenPack, TokenPackPurchase
from tests.billing.api.subscriptions.plan_changes import refused
from tests.billing.ledger import assert_explained, hand_over, pay, pay_in_full
from tests.billing.sale import sell
from tests.cast import Customer, Staff
from tests.clock import moved_by_hand
from tests.contract import problem
from tests.factories import at, money

pytestmark = pytest.mark.django_db(transaction=True)
PACKS, CURRENT = "/api/v1/billing/token-packs", "/api/v1/usage/current"


def pack(code: str = "fifty", **terms: Any) -> TokenPack:
    return TokenPack.objects.create(**{"code": code, "name": "Fifty", "tokens": 50, "price": 9} | terms)


def buy(customer: Customer, code: str = "fifty", **headers: str) -> Any:
    return customer.post(f"{PACKS}/{code}", None, **headers)


def quota(customer: Customer) -> int:
    return int(customer.api.get(CURRENT).json()["quota"])


def ledger_of(customer: Customer) -> Subscription:
    return Subscription.objects.get(account=customer.user)


def test_those_on_sale_are_listed(alice: Customer) -> None:
    pack()
    pack("old", is_on_sale=False)
    pack("yen", currency="JPY", price=900, valid_days=30)
    results = alice.api.get(PACKS).json()["results"]
    assert results == [
        {"code": "yen", "name": "Fifty", "tokens": 50, "price": 900, "currency": "JPY", "valid_days": 30},
        {"code": "fifty", "name": "Fifty", "tokens": 50, "price": 9.00, "currency": "USD", "valid_days": None},
    ]


@pytest.mark.parametrize(("at_once", "until"), [(True, "2031-03-07 12:00:00"), (False, "2031-03-05 12:00:00.000001")])
def test_the_invoice_names_no_days_that_the_payment_will_move(
    customer: Callable[..., Customer], at_once: bool, until: str
) -> None:
    with moved_by_hand("2031-03-05T12:00:00Z"):
        alice = customer("alice", "community")
        pack(valid_days=2, counts_at_once=at_once)
        buy(alice)
    (line,) = InvoiceLine.objects.all()
    assert (line.period_start, line.period_end) == (at("2031-03-05 12:00:00"), at(until))


def test_its_tokens_count_once_the_invoice_is_paid(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2031-03-05T12:00:00Z") as clock:
        alice = customer("alice", "community")
        pack()
        answer = buy(alice)
        assert answer.status_code == 201
        bought = answer.json()
        assert bought == {"invoice": bought["invoice"], "tokens": 50, "valid_until": None, "active": False}
        invoice = Invoice.objects.get(number=bought["invoice"])
        assert [(line.kind, line.description, line.amount) for line in invoice.lines.all()] == [
            ("pack", "Fifty: 50 tokens", 9)
        ]
        assert quota(alice) == 100
        pay(invoice, money(5), timezone.now(), "half")
        assert quota(alice) == 100
        clock.move_to("2031-03-20T12:00:00Z")
        pay_in_full(invoice, timezone.now())
        assert quota(alice) == 150
        clock.move_to("2031-04-01T00:00:00Z")
        assert quota(alice) == 100, "they belong to one window"
        assert_explained(ledger_of(alice))


@pytest.mark.parametrize(
    ("valid_days", "until"), [(None, "2031-04-01T00:00:00Z"), (2, "2031-03-07T12:00:00Z"), (90, "2031-04-01T00:00:00Z")]
)
def test_or_at_once_and_says_until_when(customer: Callable[..., Customer], valid_days: int | None, until: str) -> None:
    with moved_by_hand("2031-03-05T12:00:00Z") as clock:
        alice = customer("alice", "community")
        pack(counts_at_once=True, valid_days=valid_days)
        bought = buy(alice).json()
        assert (bought["valid_until"], bought["active"], quota(alice)) == (until, True, 150)
        clock.move_to(until)
        assert quota(alice) == 100
        assert Invoice.objects.get(number=bought["invoice"]).status == "open"


def test_paid_with_a_balance_they_count_at_once(carol: Customer) -> None:
    subscription = ledger_of(carol)
    pay_in_full(Invoice.objects.get(account=carol.user), timezone.now())
    hand_over(subscription, sell("small", "1", rank=0, monthly_token_quota=10), timezone.now())
    pack()
    assert buy(carol).json()["active"] is True
    assert quota(carol) == 60
    assert_explained(subscription)


def test_what_was_credited_counts_for_nothing(alice: Customer) -> None:
    pack()
    whole, part = (Invoice.objects.get(number=buy(alice).json()["invoice"]) for _ in range(2))
    credit_notes.credit(whole, money(9), "not wanted", timezone.now())
    credit_notes.credit(part, money(4), "too dear", timezone.now())
    pay_in_full(part, timezone.now())
    assert {whole.status, part.status} == {"paid"}
    assert quota(alice) == 100
    assert TokenPackPurchase.objects.filter(activated_at=None).count() == 2
    assert_explained(ledger_of(alice))


def test_a_retried_purchase_is_one(alice: Customer) -> None:
    pack(counts_at_once=True)
    answers = [buy(alice, **{"Idempotency-Key": "k"}).json() for _ in range(2)]
    assert answers[0] == answers[1]
    assert (quota(alice), TokenPackPurchase.objects.count()) == (150, 1)


def test_what_cannot_be_bought(alice: Customer, carol: Customer, settings: Any) -> None:
    pack()
    pack("old", is_on_sale=False)
    pack("dear", price=50_000)
    for code in ("old", "none"):
        problem(buy(alice, code), 404, "not_found")
    refused(buy(carol), 409, "nothing_to_top_up")
    refused(buy(alice, "dear"), 403, "forbidden")
    problem(alice.post(f"{PACKS}/fifty", {"n": 2}), 400, "invalid", {"errors"})
    assert not TokenPackPurchase.objects.exists()


class TestAdmin:
    FIELDS = {"name": "Fifty", "code": "fifty", "tokens": 50, "price": "9.00", "currency": "USD", "is_on_sale": "on"}

    def test_staff_sell_packs(self, superuser: Staff) -> None:
        assert superuser.send("billing/tokenpack/add/", **self.FIELDS).status_code == 302
        made = TokenPack.objects.get()
        assert (made.tokens, made.valid_days, made.counts_at_once) == (50, None, False)
        assert superuser.open(f"billing/tokenpack/{made.pk}/history/").status_code == 200
        assert superuser.send(f"billing/tokenpack/{made.pk}/delete/", post="yes").status_code == 403

    @pytest.mark.parametrize(
        ("field", "value"), [("price", "9.001"), ("price", "-1"), ("tokens", 0), ("currency", "XXQ"), ("valid_days", 0)]
    )
    def test_a_wrong_value_is_named(self, superuser: Staff, field: str, value: Any) -> None:
        answer = superuser.send("billing/tokenpack/add/", **self.FIELDS | {field: value})
        assert field in answer.context["adminform"].errors

    def test_they_see_who_bought_what(self, superuser: Staff, alice: Customer) -> None:
        pack()
        buy(alice)
        purchase = TokenPackPurchase.objects.get()
        assert superuser.open("billing/tokenpackpurchase/?activated_at__isempty=1").context["cl"].result_count == 1
        assert superuser.open(f"billing/tokenpackpurchase/{purchase.pk}/change/").status_code == 200
