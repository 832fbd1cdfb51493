"""Laws L6 and L7 over random customers: plans, currencies, anchors, clocks, and chains of whatever may happen."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import override_settings
from freezegun import freeze_time
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st

from billing.invoicing import credit_notes, ledger
from billing.models import CreditNote, Invoice, Payment, Plan, Subscription
from billing.rules.money import from_minor, minor_units
from billing.rules.periods import nth_period
from billing.subscriptions import changes, quotes, refusals
from billing.subscriptions.coupons import redeeming
from billing.subscriptions.period_end import renewal
from tests.billing.coupons import COUPONS, any_coupon
from tests.billing.ledger import assert_discounted, assert_explained, assert_tiled, fresh, hand_over, invoices, pay
from tests.effort import examples
from tests.factories import at, make_plan, make_subscription

pytestmark = [pytest.mark.django_db, pytest.mark.no_cover]  # other tests run all of these lines, once each
_codes = itertools.count()
CURRENCIES = st.sampled_from(["USD", "JPY", "KWD"])
GRANULARITIES = st.sampled_from(["day", "second"])
ANCHORS = st.integers(0, 3 * 365 * 86_400).map(lambda seconds: at("2023-01-01") + timedelta(seconds=seconds))
MINOR_PRICES = st.integers(0, 200_000)
LAWS = examples(15, 400, suppress_health_check=[HealthCheck.function_scoped_fixture])


@contextmanager
def rolled_back() -> Iterator[None]:
    """Each example begins with an empty ledger."""
    with transaction.atomic():
        yield
        connection.check_constraints()  # what is deferred to the commit as well
        transaction.set_rollback(True)


def plans_of(prices: list[int], currency: str, interval: str) -> list[Plan]:
    """Ranked as they are listed."""
    return [
        make_plan(f"plan{next(_codes)}", from_minor(price, currency), rank, currency=currency, interval=interval)
        for rank, price in enumerate(prices)
    ]


STEPS = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 70 * 86_400)),
    st.tuples(st.just("wait"), st.sampled_from([1, 60, 86_400])),
    st.tuples(st.just("to the end of the period"), st.sampled_from([-1, 0, 1])),
    st.tuples(st.just("change"), st.integers(0, 3)),
    st.tuples(st.just("upgrade"), st.integers(0, 3)),
    st.tuples(st.just("schedule"), st.integers(0, 3)),
    st.tuples(st.just("cancel"), st.just(0)),
    st.tuples(st.just("close"), st.just(0)),
    st.tuples(st.just("edit price"), st.integers(0, 200_000)),
    st.tuples(st.just("pay"), st.integers(1, 100)),
    st.tuples(st.just("credit"), st.integers(1, 100)),
    st.tuples(st.just("void"), st.integers(0, 5)),
    st.tuples(st.just("redeem"), COUPONS),
    st.tuples(st.just("give up"), st.just(0)),
)


class Customer:
    """One customer, a clock, and what can be done to both. What is refused leaves nothing behind."""

    def __init__(self, plans: list[Plan], anchor: datetime, clock: Any) -> None:
        self.plans, self.now, self.clock = plans, anchor, clock
        self.subscription = make_subscription(plans[0], anchor)
        self.scheduled: tuple[Plan, datetime] | None = None

    def do(self, step: str, value: Any) -> None:
        """Time only moves forward; the rest may be refused, by an error that says so."""
        try:
            self.clock.move_to(self.now)
            with transaction.atomic():
                getattr(self, "_" + step.replace(" ", "_"))(value)
        except (refusals.PlanChangeRefused, ledger.BillingError):
            pass
        self.check()

    def check(self) -> None:
        live = fresh(self.subscription)
        assert_explained(live)
        assert_tiled(live)
        assert_discounted(live.account_id)
        assert Subscription.objects.due(live.period_ends_at - timedelta(microseconds=1)).count() == 0
        if live.scheduled_at is not None:
            assert live.scheduled_at == live.period_ends_at, "neither missed nor early"

    def _wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    def _to_the_end_of_the_period(self, microseconds: int) -> None:
        self.now = max(self.now, fresh(self.subscription).period_ends_at + timedelta(microseconds=microseconds))

    def _change(self, index: int) -> None:
        hand_over(self.subscription, self._plan(index), self.now)

    def _upgrade(self, index: int) -> None:
        changes.upgrade(self.subscription.account_id, self._plan(index), self.now)

    def _schedule(self, index: int) -> None:
        changes.downgrade_with_effective_date(
            self.subscription.account_id, self._plan(index), self.now, in_use=frozenset()
        )

    def _cancel(self, _: int) -> None:
        changes.cancel_scheduled_change(self.subscription.account_id, self.now)

    def _redeem(self, drawn: dict[str, Any]) -> None:
        redeeming.redeem(self.subscription.account_id, any_coupon(drawn, self.plans).code, self.now)

    def _give_up(self, _: int) -> None:
        redeeming.give_up(self.subscription.account_id, self.now)

    def _close(self, _: int) -> None:
        done = renewal.renew_due(self.now)
        assert (done.failed, done.parked) == ({}, [])
        assert fresh(self.subscription).period_ends_at > self.now

    def _edit_price(self, minor: int) -> None:
        plan = self._plan(minor)
        plan.price = from_minor(minor, plan.currency)
        plan.save()

    def _pay(self, percent: int) -> None:
        owed = Invoice.objects.filter(subscription=self.subscription, status=Invoice.Status.OPEN).first()
        if owed is not None:
            reference = f"bank-{Payment.objects.count()}"
            pay(owed, self._part(owed.due, percent), self.now, reference)

    def _credit(self, percent: int) -> None:
        for invoice in invoices(self.subscription)[-2:]:
            amount = self._part(invoice.lines.billed(), percent)
            if amount > 0:
                credit_notes.credit(invoice, amount, "outage", self.now)

    def _void(self, index: int) -> None:
        issued = invoices(self.subscription)
        if issued:
            credit_notes.void(issued[index % len(issued)], self.now)

    def _plan(self, index: int) -> Plan:
        return Plan.objects.get(pk=self.plans[index % len(self.plans)].pk)

    def _part(self, amount: Decimal, percent: int) -> Decimal:
        unit = Decimal(1).scaleb(-minor_units(self.plans[0].currency))
        return max((amount * percent / 100).quantize(unit), unit)


@given(
    currency=CURRENCIES,
    interval=st.sampled_from(["month", "month", "quarter", "year"]),
    granularity=GRANULARITIES,
    prices=st.lists(MINOR_PRICES, min_size=4, max_size=4),
    anchor=ANCHORS,
    steps=st.lists(STEPS, min_size=3, max_size=14),
)
@LAWS
def test_every_cent_is_explained_whatever_happens(
    currency: str,
    interval: str,
    granularity: str,
    prices: list[int],
    anchor: datetime,
    steps: list[tuple[str, Any]],
) -> None:
    limits: dict[str, Any] = {"LARGEST_INVOICE": 10**9, "MOST_INVOICES_A_DAY": 10**6}
    with override_settings(PRORATION_GRANULARITY=granularity, **limits), rolled_back(), freeze_time(anchor) as clock:
        customer = Customer(plans_of(prices, currency, interval), anchor, clock)
        for step, value in steps:
            customer.do(step, value)
        customer.do("close", 0)
        _assert_numbered()


def _assert_numbered() -> None:
    for model, series in ((Invoice, "INV"), (CreditNote, "CN")):
        numbers = list(model.objects.order_by("pk").values_list("number", flat=True))  # type: ignore[attr-defined]
        assert sorted(numbers) == [f"{series}-{number:06d}" for number in range(1, len(numbers) + 1)]


@given(
    currency=CURRENCIES,
    granularity=GRANULARITIES,
    prices=st.lists(MINOR_PRICES, min_size=4, max_size=7),
    anchor=ANCHORS,
    passed=st.floats(0, 1, exclude_max=True),
    paid=st.booleans(),
    noted=st.integers(0, 100),
    coupon=COUPONS,
    full_from=st.integers(1, 8),
)
@LAWS
def test_a_chain_at_one_instant_costs_what_the_direct_change_costs(
    currency: str,
    granularity: str,
    prices: list[int],
    anchor: datetime,
    passed: float,
    paid: bool,
    noted: int,
    coupon: dict[str, Any],
    full_from: int,
) -> None:
    """On the ledger: invoices, what is due and the balance, also after a payment or a credit note, with a coupon."""
    with override_settings(PRORATION_GRANULARITY=granularity, LARGEST_INVOICE=10**9), rolled_back():
        plans = plans_of(prices, currency, "month")
        full = [plan.pk for plan in plans[full_from:]]  # up to the last, so that both ways begin a period
        Plan.objects.filter(pk__in=full).update(upgrade_mode="full_period")
        code = any_coupon(coupon, plans).code
        outcomes = []
        for chain in ([plans[-1]], plans[1:]):
            subscription = make_subscription(plans[0], anchor)
            for invoice in invoices(subscription):
                amount = (invoice.total * noted / 100).quantize(Decimal(1).scaleb(-minor_units(currency)))
                if amount:
                    credit_notes.credit(invoice, amount, "outage", anchor)
                if paid and invoice.due:
                    pay(invoice, invoice.due, anchor, f"bank {invoice.pk}")
            period = subscription.current_period().period
            now = period.start + (period.end - period.start) * passed
            assume(now < period.end)
            redeeming.redeem(subscription.account_id, code, now)
            for plan in chain:
                hand_over(subscription, Plan.objects.get(pk=plan.pk), now)
            issued = invoices(subscription)
            outcomes.append(
                (
                    sum(invoice.lines.billed() for invoice in issued),
                    sum(invoice.due for invoice in issued) - ledger.balance(subscription.account_id, currency),
                )
            )
            assert_explained(subscription)
            assert_discounted(subscription.account_id)
        assert outcomes[0] == outcomes[1]


@given(currency=CURRENCIES, granularity=GRANULARITIES, old=MINOR_PRICES, new=MINOR_PRICES, anchor=ANCHORS)
@LAWS
def test_a_change_costs_the_full_difference_at_the_start_and_nothing_at_the_end(
    currency: str, granularity: str, old: int, new: int, anchor: datetime
) -> None:
    with override_settings(PRORATION_GRANULARITY=granularity, LARGEST_INVOICE=10**9), rolled_back():
        first, second = plans_of([old, new], currency, "month")
        subscription = make_subscription(first, anchor)
        period = subscription.current_period()
        assert quotes.quote(period, second, period.ends_at).proration.net == 0
        assert hand_over(subscription, second, period.starts_at).proration.net == second.price - first.price


@given(
    anchor=ANCHORS,
    missed=st.integers(1, 30),
    scheduled=st.integers(0, 30),
    beats=st.lists(st.integers(0, 900 * 86_400)),
)
@LAWS
def test_a_scheduled_change_applies_once_and_never_early(
    anchor: datetime, missed: int, scheduled: int, beats: list[int]
) -> None:
    """However many beats, and however late: the periods before it are the old plan's, those after it the new one's."""
    with override_settings(MOST_INVOICES_A_DAY=10**6), rolled_back():
        high, low = plans_of([900, 500], "USD", "month")
        subscription = make_subscription(high, anchor)
        when = nth_period(subscription.anchor, high.billed_every, scheduled).end
        Subscription.objects.filter(pk=subscription.pk).update(scheduled_plan=low, scheduled_at=when)
        last = nth_period(subscription.anchor, high.billed_every, missed).start
        clocks = sorted(subscription.anchor + timedelta(seconds=beat) for beat in beats)
        changes = sum(renewal.renew_due(now).changed for now in [*(now for now in clocks if now < last), last])
        for period in subscription.periods.select_related("plan"):
            assert period.plan == (low if period.starts_at >= when else high)
        assert changes == (1 if when <= last else 0)
        assert (fresh(subscription).plan == low) == (when <= last)
        assert_tiled(subscription)
        assert_explained(subscription)
