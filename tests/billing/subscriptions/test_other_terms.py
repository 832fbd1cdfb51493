"""Changes to a plan of another interval, currency or upgrade mode: now with a period, or at the period's end."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from billing.entitlements import snapshots
from billing.invoicing import ledger
from billing.models import Plan, Subscription
from billing.rules.periods import Period
from billing.rules.plan_change import OnlyAtPeriodEnd
from billing.subscriptions import changes, previews, refusals
from billing.subscriptions.current import current_subscription
from billing.subscriptions.period_end import renewal
from ratelimit import process_state
from tests.billing.ledger import assert_explained, assert_tiled, fresh, hand_over, invoices, lines, pay_in_full
from tests.factories import at, make_plan, make_subscription

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
