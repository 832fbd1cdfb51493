"""Whatever is bought, changed and ended in whatever order, periods tile, and every cent has its line."""

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
from billing.rules.plan_change import OnlyAtPeriodEnd
from billing.subscriptions import canceling, changes, previews, refusals
from billing.subscriptions.coupons import redeeming
from billing.subscriptions.current import current_subscription, period_at
from billing.subscriptions.period_end import renewal
from ratelimit import process_state
from tests.billing.ledger import assert_discounted, assert_explained, assert_tiled, hand_over, pay_in_full
from tests.billing.metered import assert_overage_explained, make_metered, use
from tests.billing.subscriptions.moving import move_all
from tests.effort import examples
from tests.factories import at, make_coupon, make_details, make_plan, make_seller, make_subscription, money

pytestmark = pytest.mark.django_db
NOBODY_USES_ANYTHING: frozenset[str] = frozenset()
KINDS = st.sampled_from(
    [
        *("upgrade", "without trial", "later", "cancel", "keep", "staff", "renew", "pay"),
        *("move now", "move at_period_end", "redeem", "give up", "use"),
        *("rate", "emigrate"),
    ]
)
STEPS = st.lists(st.tuples(st.integers(0, 40 * 24), KINDS, st.integers(0, 10)), max_size=9)


class TestLives(TestCase):
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
                canceling.withdraw(account, now)
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
