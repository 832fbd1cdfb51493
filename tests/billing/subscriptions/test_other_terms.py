"""Changes to a plan of another interval, currency or upgrade mode: now with a period, or at the period's end."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from billing.entitlements import snapshots
from billing.invoicing import ledger
from billing.models import BillingPeriod, Plan, Subscription, TaxRate
from billing.rules.entitlements.entitlement import entitle
from billing.rules.periods import Period
from billing.rules.plan_change import OnlyAtPeriodEnd
from billing.subscriptions import canceling, changes, previews, refusals
from billing.subscriptions.bulk import moves, work
from billing.subscriptions.coupons import redeeming
from billing.subscriptions.current import current_subscription, period_at
from billing.subscriptions.period_end import renewal
from ratelimit import process_state
from tests.billing.ledger import (
    assert_discounted,
    assert_explained,
    assert_tiled,
    fresh,
    hand_over,
    invoices,
    lines,
    pay_in_full,
)
from tests.billing.metered import assert_overage_explained, make_metered, use
from tests.effort import examples
from tests.factories import at, make_coupon, make_details, make_plan, make_seller, make_subscription, money

pytestmark = pytest.mark.django_db
START, MIDDLE, END = at("2025-10-01"), at("2025-10-16 09:30:00"), at("2025-11-01")
NOBODY_USES_ANYTHING: frozenset[str] = frozenset()


@pytest.fixture
def yearly() -> Plan:
    return make_plan("yearly", 310, 1, interval="year")


def window(subscription: Subscription, now: datetime) -> Period:
    process_state.start_anew()
    return snapshots.snapshot(subscription.account_id, round(now.timestamp() * 1000)).entitlement.window


class TestToALongerInterval:
    def test_a_period_begins_now_in_full_less_what_is_unused(self, low: Plan, yearly: Plan) -> None:
        subscription = make_subscription(low, START)
        pay_in_full(invoices(subscription)[0], START)
        now = MIDDLE + timedelta(microseconds=700_000)
        changed = changes.upgrade(subscription.account_id, yearly, now)
        assert lines(invoices(subscription)[1]) == [("credit", -16), ("base", 310)]
        assert (changed.period.start, changed.period.end) == (MIDDLE, at("2026-10-16 09:30:00"))
        row = fresh(subscription)
        assert (row.plan, row.anchor, row.anchor_number, row.period_ends_at) == (yearly, MIDDLE, 1, changed.period.end)
        assert [(p.number, p.ends_at) for p in row.periods.all()] == [(0, MIDDLE), (1, changed.period.end)]
        renewal.renew_due(at("2027-12-01"))
        assert fresh(subscription).period_ends_at == at("2028-10-16 09:30:00")
        assert_tiled(subscription)
        assert_explained(subscription)

    def test_what_was_quoted_is_billed_fifteen_minutes_later(self, low: Plan, yearly: Plan) -> None:
        subscription = make_subscription(low, START)
        quoted_at = at("2025-10-16 23:50:00")
        quote = previews.calculate_proration(subscription.account_id, yearly, quoted_at)
        changed = changes.upgrade(subscription.account_id, yearly, quoted_at + timedelta(minutes=15), quoted_at)
        assert (changed.proration.net, changed.invoice and changed.invoice.total) == (quote.proration.net, 294)

    def test_in_the_very_second_of_the_start_the_period_is_exchanged(self, low: Plan, yearly: Plan) -> None:
        subscription = make_subscription(low, START)
        changes.upgrade(subscription.account_id, yearly, START + timedelta(microseconds=999_999))
        assert lines(invoices(subscription)[1]) == [("credit", -31), ("base", 310)]
        period = fresh(subscription).periods.get()
        assert (period.plan, period.price, period.ends_at) == (yearly, 310, at("2026-10-01"))
        assert_tiled(subscription)
        assert_explained(subscription)

    def test_what_each_period_was_billed_is_credited_once(self, low: Plan, yearly: Plan) -> None:
        """Of the old period the used half is left; of the new one all of it."""
        subscription = make_subscription(low, START)
        changes.upgrade(subscription.account_id, yearly, MIDDLE)
        base, second = invoices(subscription)
        assert (base.creditable(), second.creditable()) == (15, 294)
        dear = make_plan("dear", 620, 2, interval="year")
        changed = changes.upgrade(subscription.account_id, dear, MIDDLE)
        assert (changed.proration.credit, changed.proration.charge) == (310, 620)
        assert_explained(subscription)

    def test_tokens_are_granted_neither_twice_nor_with_a_gap(self) -> None:
        monthly = make_plan("monthly", 31, 1, quota_window="billing_period", monthly_token_quota=100)
        yearly = make_plan("yearly", 310, 1, quota_window="billing_period", monthly_token_quota=100, interval="year")
        subscription = make_subscription(monthly, START)
        changes.upgrade(subscription.account_id, yearly, MIDDLE)
        seen = [window(subscription, MIDDLE)]
        while seen[-1].end < at("2026-02-01"):
            seen.append(window(subscription, seen[-1].end))
        assert [(w.start, w.end) for w in seen[:3]] == [
            (START, END),
            (END, at("2025-11-16 09:30:00")),
            (at("2025-11-16 09:30:00"), at("2025-12-16 09:30:00")),
        ]

    def test_a_lower_rank_waits_for_the_end(self, high: Plan, yearly: Plan) -> None:
        subscription = make_subscription(high, START)
        with pytest.raises(refusals.NotAnUpgrade):
            changes.upgrade(subscription.account_id, yearly, MIDDLE)
        changes.downgrade_with_effective_date(subscription.account_id, yearly, MIDDLE, NOBODY_USES_ANYTHING)
        renewal.renew_due(END)
        assert fresh(subscription).period_ends_at == at("2026-11-01")
        assert_tiled(subscription)

    def test_staff_may_go_there_from_a_higher_one(self, high: Plan, yearly: Plan) -> None:
        subscription = make_subscription(high, START)
        changed = hand_over(subscription, yearly, MIDDLE)
        assert (lines(invoices(subscription)[1]), changed.period.start) == ([("credit", -48), ("base", 310)], MIDDLE)
        assert_explained(subscription)

    def test_an_invoice_that_looks_wrong_leaves_nothing_behind(self, low: Plan, settings: object) -> None:
        dear = make_plan("dear", 50_000, 1, interval="year")
        subscription = make_subscription(low, START)
        with pytest.raises(refusals.UnderReview):
            changes.upgrade(subscription.account_id, dear, MIDDLE)
        assert (fresh(subscription).plan, subscription.periods.get().ends_at) == (low, END)


class TestAtThePeriodsEnd:
    @pytest.mark.parametrize("beat", ["late", "on time"])
    def test_a_shorter_interval_is_counted_from_there(self, low: Plan, yearly: Plan, beat: str) -> None:
        subscription = make_subscription(yearly, at("2025-01-31"))
        account = subscription.account_id
        changes.downgrade_with_effective_date(account, low, MIDDLE, NOBODY_USES_ANYTHING)
        now = at("2026-03-31")
        if beat == "on time":
            renewal.renew_due(at("2026-01-31"))
        foreseen = current_subscription(account, now).period
        renewal.renew_due(now)
        present = fresh(subscription).current_period()
        assert (present.number, present.starts_at, present.ends_at) == (3, now, at("2026-04-30"))
        assert (foreseen.number, foreseen.period) == (3, present.period)
        assert_tiled(subscription)
        assert_explained(subscription)

    def test_another_currency_leaves_the_balance_in_its_own(self, low: Plan) -> None:
        euro = make_plan("euro", 20, 9, currency="EUR")
        subscription = make_subscription(low, START)
        account = subscription.account_id
        pay_in_full(invoices(subscription)[0], START)
        hand_over(subscription, make_plan("tiny", 1, 0), MIDDLE)
        balance = ledger.balance(account, "USD")
        assert balance > 0
        changes.downgrade_with_effective_date(account, euro, MIDDLE, NOBODY_USES_ANYTHING)
        assert current_subscription(account, MIDDLE).next_invoice_amount == 0, "in dollars"
        renewal.renew_due(END)
        last = invoices(subscription)[-1]
        assert (last.currency, lines(last), last.due) == ("EUR", [("base", 20)], 20)
        assert ledger.balance(account, "USD") == balance
        assert_tiled(subscription)
        assert_explained(subscription)

    def test_next_period_is_the_mode_of_the_target(self, low: Plan) -> None:
        waiting = make_plan("waiting", 62, 2, upgrade_mode="next_period")
        subscription = make_subscription(low, START)
        with pytest.raises(OnlyAtPeriodEnd):
            changes.upgrade(subscription.account_id, waiting, MIDDLE)
        with pytest.raises(OnlyAtPeriodEnd):
            hand_over(subscription, waiting, MIDDLE)
        changes.downgrade_with_effective_date(subscription.account_id, waiting, MIDDLE, NOBODY_USES_ANYTHING)
        renewal.renew_due(END)
        assert (fresh(subscription).plan, fresh(subscription).anchor) == (waiting, START)

    def test_a_quote_beyond_it_is_of_what_follows(self, low: Plan, yearly: Plan) -> None:
        subscription = make_subscription(yearly, START)
        account = subscription.account_id
        changes.downgrade_with_effective_date(account, low, MIDDLE, NOBODY_USES_ANYTHING)
        quote = previews.calculate_proration(account, make_plan("best", 62, 9), MIDDLE, at=at("2026-12-16"))
        assert (quote.period.number, quote.period.starts_at, quote.proration.credit) == (3, at("2026-12-01"), 16)


def test_in_full_a_period_of_the_same_interval_begins(low: Plan) -> None:
    full = make_plan("full", 62, 2, upgrade_mode="full_period")
    subscription = make_subscription(low, START)
    changed = changes.upgrade(subscription.account_id, full, MIDDLE)
    assert lines(invoices(subscription)[1]) == [("credit", -16), ("base", 62)]
    assert (changed.period.start, changed.period.end) == (MIDDLE, at("2025-11-16 09:30:00"))
    assert_tiled(subscription)
    assert_explained(subscription)


KINDS = st.sampled_from(
    [
        *("upgrade", "without trial", "later", "cancel", "keep", "staff", "renew", "pay"),
        *("move now", "move at_period_end", "redeem", "give up", "use"),
        *("rate", "emigrate"),
    ]
)
STEPS = st.lists(st.tuples(st.integers(0, 40 * 24), KINDS, st.integers(0, 10)), max_size=9)


def move_all(subscription: Subscription, target: Plan, when: str, now: datetime) -> None:
    """As one of many, who keep the lower price."""
    move = moves.begin(moves.Order(subscription.plan, target, when, True, "x"), now)
    assert work.work_off(move, lambda: now)
    foreseen = moves.tally(move)
    assert work.work_off(moves.confirm(move, now), lambda: now)
    assert moves.tally(move).sums == foreseen.sums, "a preview says what is billed"


class TestLives(TestCase):
    """Whatever is bought, changed and ended in whatever order, periods tile, and every cent has its line."""

    @examples(8, 100)
    @given(st.sampled_from([0, 7]), STEPS)
    def test_of_plans_in_every_interval_currency_and_mode(self, first: int, steps: list[tuple[int, str, int]]) -> None:
        make_plan("free", 0, 0, is_default=True)
        plans = [
            make_plan("low", 31, 1),
            make_plan("high", 93, 3),
            make_plan("full", 62, 2, upgrade_mode="full_period"),
            make_plan("next", 47, 2, upgrade_mode="next_period"),
            make_plan("quarterly", 80, 1, interval="quarter"),
            make_plan("yearly", 999, 3, interval="year"),
            make_plan("euro", 45, 2, currency="EUR"),
            Plan.objects.get(code="free"),
            make_plan("tried", 53, 2, trial_days=14),
            make_plan("asking", 530, 3, trial_days=60, interval="year", trial_needs_payment_method=True),
            make_metered("metered", 62, 2),
        ]
        make_coupon("C0", periods=1)
        make_coupon("C1", percent=money("33.33"), plans=plans[1:5])
        make_coupon("C2", amount=money(50), currency="USD", periods=2)
        now = at("2025-01-31 10:00:00")
        make_seller()
        account = make_subscription(plans[first], now).account_id
        for hours, step, target in steps:
            now += timedelta(hours=hours)
            self.take(step, account, plans[target], now)
            for subscription in Subscription.objects.filter(account=account):
                assert_tiled(subscription)
                assert_explained(subscription)
            assert BillingPeriod.objects.filter(subscription__account=account, is_trial=True).count() <= 1
            assert_discounted(account)
            assert_overage_explained(account)
        rows = list(Subscription.objects.filter(account=account).order_by("pk"))
        for ended, follows in itertools.pairwise(rows):
            opened = follows.periods.earliest("number")
            assert opened.starts_at == ended.ended_at, "one follows the other without a gap"

    def take(self, step: str, account: int, target: Plan, now: datetime) -> None:
        try:
            if step in ("upgrade", "without trial"):
                quote = previews.calculate_proration(account, target, now, trial=step == "upgrade")
                bill = quote.bill(now)
                changed = changes.upgrade(account, target, now, trial=step == "upgrade")
                said = quote.proration, quote.trial_ends_at
                assert (changed.proration, changed.trial_ends_at) == said, "a preview says what is billed"
                assert not changed.invoice or (bill.tax, bill.gross) == (changed.invoice.tax, changed.invoice.gross)
            elif step == "later":
                changes.downgrade_with_effective_date(account, target, now, NOBODY_USES_ANYTHING)
            elif step == "cancel":
                canceling.cancel(account, now)
            elif step == "keep":
                canceling.take_back(account, now)
            elif step == "staff":
                hand_over(Subscription.objects.live().get(account=account), target, now)
            elif step.startswith("move "):
                move_all(Subscription.objects.live().get(account=account), target, step.removeprefix("move "), now)
            elif step == "redeem":
                redeeming.redeem(account, f"C{target.rank % 3}", now)
            elif step == "give up":
                redeeming.give_up(account, now)
            elif step == "renew":
                renewal.renew_due(now)
            elif step == "rate":
                TaxRate.objects.update_or_create(country="DE", valid_from=now, defaults={"percent": 7 * target.rank})
            elif step == "emigrate":
                make_details(account, "FR", "FR40303265045") if target.rank > 1 else make_details(account, "DE")
            elif step == "use":
                use(account, 700 + target.rank * 500, now)
            elif step == "pay":
                live = Subscription.objects.live().get(account=account)
                for invoice in live.invoices.due():
                    pay_in_full(invoice, now)
        except (refusals.PlanChangeRefused, OnlyAtPeriodEnd):
            pass
        current = current_subscription(account, now)
        assert current.period.period.contains(now)
        self.is_enforced(account, current.plan, now, now)
        next_plan = period_at(account, current.period.ends_at, now).plan
        self.is_enforced(account, next_plan, current.period.ends_at, now)
        assert money(ledger.balance(account, "USD")) >= 0

    def is_enforced(self, account: int, plan: Plan, at: datetime, now: datetime) -> None:
        """A call at that instant is judged by the plan, as far as is known now."""
        process_state.start_anew()
        known = snapshots.snapshot(account, round(now.timestamp() * 1000))
        assert entitle(known.facts, known.catalogue.plans, at).plan.code == plan.code
