"""Money told by many at once: each is one row, and the sums are exact."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Sum

from billing.erasure import deletion, erase
from billing.invoicing import issuing, ledger
from billing.invoicing.ledger import BillingError
from billing.models import Invoice, MoneyIn, Payment, Plan, Refund, Subscription
from billing.payments import refunds
from billing.payments.correction import move
from billing.payments.receive import receive
from billing.payments.reversals import reverse
from billing.subscriptions import opening
from billing.subscriptions.period_end import renewal
from billing.subscriptions.refusals import NoSubscription
from tests.billing.ledger import assert_explained, bill, invoices
from tests.billing.payments.money import ARRIVED, arrive
from tests.billing.subscriptions.period_end.test_renewal_concurrency import at_once
from tests.billing.waiting import somebody_waits_for_a_row, until
from tests.factories import at, make_plan, make_subscription, money
from tests.processes import database_url

pytestmark = pytest.mark.django_db(transaction=True)
START, END = at("2025-10-01"), at("2025-11-01")
TELLER = """
import sys
from datetime import UTC, datetime
from decimal import Decimal
import django
django.setup()
from billing.payments.receive import receive
now = datetime(2025, 10, 20, tzinfo=UTC)
print(receive(int(sys.argv[1]), "USD", Decimal(31), "card", "pi_1", now, now).pk)
"""


@pytest.fixture
def low() -> Plan:
    return make_plan("low", 31, 1)


def test_two_processes_that_tell_the_same_money_make_one_row(low: Plan) -> None:
    subscription = make_subscription(low, START)
    with transaction.atomic():
        ledger.lock(subscription.account_id)  # until both have come as far as the lock
        tellers = [
            subprocess.Popen(
                [sys.executable, "-c", TELLER, str(subscription.account_id)],
                env=os.environ | {"DATABASE_URL": database_url(), "DJANGO_SETTINGS_MODULE": "billing_site.settings"},
                stdout=subprocess.PIPE,
                text=True,
                cwd=settings.BASE_DIR,
            )
            for _ in range(2)
        ]
        until(somebody_waits_for_a_row)
    told = [teller.communicate(timeout=60)[0] for teller in tellers]
    assert told == [f"{MoneyIn.objects.get().pk}\n"] * 2
    assert Payment.objects.get().amount == 31
    assert_explained(subscription)


def test_one_reference_at_once_is_one_money(low: Plan) -> None:
    subscription = make_subscription(low, START)
    calls = [lambda: arrive(subscription.account_id, 31, reference="bank-1").pk] * 8
    assert len(set(at_once(*calls))) == 1
    assert_explained(subscription)


def test_one_reference_at_once_for_two_accounts_is_the_first_ones(low: Plan) -> None:
    both = [make_subscription(low, START) for _ in range(2)]
    calls = [lambda each=each: arrive(each.account_id, 31, reference="bank-1") for each in both * 4]
    answers = at_once(*calls)
    assert sum(isinstance(answer, MoneyIn) for answer in answers) == 4
    assert sum(isinstance(answer, BillingError) for answer in answers) == 4
    assert MoneyIn.objects.count() == 1
    for each in both:
        assert_explained(each)


def test_eight_at_once_for_one_account_are_exact(low: Plan) -> None:
    subscription = make_subscription(low, START)
    answers = at_once(*[lambda n=n: arrive(subscription.account_id, 10, reference=f"bank-{n}") for n in range(8)])
    assert all(isinstance(answer, MoneyIn) for answer in answers), answers
    (invoice,) = invoices(subscription)
    assert (invoice.due, ledger.balance(subscription.account_id, "USD")) == (0, 49)
    assert Payment.objects.aggregate(sum=Sum("amount"))["sum"] == 31
    assert_explained(subscription)


def test_money_in_and_out_and_bills_at_once_keep_the_ledger(low: Plan) -> None:
    subscription = make_subscription(low, START)
    account = subscription.account_id
    first = arrive(account, 50)

    def bill_more() -> None:
        with transaction.atomic():
            ledger.lock(account)
            issuing.issue([bill(Subscription.objects.get(pk=subscription.pk), 7)], ARRIVED)

    at_once(
        *[lambda: arrive(account, 13)] * 4,
        *[lambda n=n: reverse(first, money(10), "undone", f"r-{n}", ARRIVED) for n in range(4)],
        *[lambda: refunds.request(account, "USD", money(5), "card", "x", ARRIVED)] * 4,
        *[bill_more] * 4,
        lambda: renewal.renew_due(END),
    )
    assert_explained(subscription)


def test_balance_is_paid_out_once_also_without_a_subscription(db: None) -> None:
    account = User.objects.create_user("zoe").pk
    arrive(account, 10)
    answers = at_once(*[lambda: refunds.request(account, "USD", money(10), "card", "x", ARRIVED)] * 8)
    assert sum(isinstance(answer, Refund) for answer in answers) == 1, answers
    assert ledger.balance(account, "USD") == 0


def test_a_first_subscription_and_a_pay_out_do_not_spend_one_balance_twice(low: Plan) -> None:
    account = User.objects.create_user("zoe").pk
    arrive(account, 31)
    at_once(
        *[lambda: refunds.request(account, "USD", money(31), "card", "x", ARRIVED)] * 3,
        lambda: opening.subscribe(account, low, ARRIVED),
    )
    assert_explained(Subscription.objects.get())
    assert Invoice.objects.get().due in (0, 31)


def _with_nothing_yet() -> int:
    return int(User.objects.create_user("zoe").pk)


def _whose_subscription_has_ended() -> int:
    subscription = make_subscription(make_plan("former", 0, 0), START)
    Subscription.objects.filter(pk=subscription.pk).update(cancel_at=END)
    assert renewal.renew_due(END).ended == 1
    return int(subscription.account_id)


@pytest.mark.parametrize("customer", [_with_nothing_yet, _whose_subscription_has_ended])
@pytest.mark.parametrize("parallel", ["pay-out", "money"])
def test_who_subscribes_waits_for_money_that_moves(low: Plan, customer: Callable[[], int], parallel: str) -> None:
    """The first bill uses the balance as it is afterwards."""
    account = customer()
    if parallel == "pay-out":
        arrive(account, 31)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            if parallel == "pay-out":
                refunds.request(account, "USD", money(31), "card", "x", ARRIVED)
            else:
                arrive(account, 31)
            opened = pool.submit(at_once, lambda: opening.subscribe(account, low, END))
            until(somebody_waits_for_a_row)
        (subscription,) = opened.result(60)
    assert isinstance(subscription, Subscription), subscription
    assert_explained(subscription)
    assert subscription.invoices.get().due == (31 if parallel == "pay-out" else 0)


@pytest.mark.parametrize("customer", [_with_nothing_yet, _whose_subscription_has_ended])
def test_money_waits_for_who_subscribes(low: Plan, customer: Callable[[], int]) -> None:
    account = customer()
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            subscription = opening.subscribe(account, low, END)
            arrived = pool.submit(at_once, lambda: arrive(account, 31))
            until(somebody_waits_for_a_row)
        (money_in,) = arrived.result(60)
    assert isinstance(money_in, MoneyIn), money_in
    assert_explained(subscription)
    assert subscription.invoices.get().due == 0


@pytest.mark.parametrize(
    "gone", [lambda user: erase.begin(user.pk, ARRIVED), deletion.delete_user], ids=["erased", "deleted"]
)
def test_who_goes_at_that_moment_subscribes_to_nothing(low: Plan, gone: Callable[[User], object]) -> None:
    make_plan("free", 0, 0, is_default=True)
    user = User.objects.create_user("zoe")
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            gone(User.objects.get(pk=user.pk))
            asked = pool.submit(
                at_once,
                lambda: opening.get_or_open_subscription(user.pk, ARRIVED),
                lambda: opening.subscribe(user.pk, low, ARRIVED),
            )
            until(somebody_waits_for_a_row)
        answers = asked.result(60)
    assert [type(answer) for answer in answers] == [NoSubscription] * 2, answers
    assert not Subscription.objects.exists()
    assert not Invoice.objects.exists()


def test_moves_to_and_fro_at_once_end(low: Plan) -> None:
    one, other = (make_subscription(low, START) for _ in range(2))
    money_of = {
        each: receive(each.account_id, "USD", money(31), "manual", f"of {each.pk}", START, START)
        for each in (one, other)
    }
    at_once(
        *[lambda: move(money_of[one], other.account_id, "mixed up", ARRIVED)] * 3,
        *[lambda: move(money_of[other], one.account_id, "mixed up", ARRIVED)] * 3,
    )
    assert MoneyIn.objects.count() == 4
    for each in (one, other):
        assert_explained(each)
        assert invoices(each)[0].due == 0
