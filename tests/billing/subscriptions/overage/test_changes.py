"""Tokens above the quota where a subscription ends or its plan changes, and what of them is credited."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from billing.entitlements.overage import overage_now
from billing.invoicing import credit_notes, ledger
from billing.invoicing.ledger import BillingError
from billing.models import Invoice, Plan, Subscription, WindowOverage
from billing.subscriptions import canceling, changes, quotes
from billing.subscriptions.overage import parts
from billing.subscriptions.period_end import renewal
from billing.subscriptions.period_end.report import RenewalReport
from billing.subscriptions.staff import ending as staff_ending
from tests.billing.ledger import assert_explained, fresh, hand_over, invoices, lines
from tests.billing.metered import make_metered, overage_lines, use
from tests.factories import at, make_plan, make_subscription, money
from usage.log.store import record_without_redis

pytestmark = pytest.mark.django_db
START, MIDDLE, END, NEXT = at("2025-10-01"), at("2025-10-16"), at("2025-11-01"), at("2025-12-01")
NOBODY_USES_ANYTHING = frozenset[str]()
SECOND = timedelta(seconds=1)


class TestEnds:
    def test_with_its_period(self, subscription: Subscription) -> None:
        make_plan("free", 0, is_default=True)
        use(subscription.account_id, 3000, MIDDLE)
        canceling.cancel(subscription.account_id, MIDDLE)
        assert (renewal.renew_due(END).ended, lines(invoices(subscription)[1])) == (1, [("overage", 1)])
        assert_explained(subscription)

    def test_where_nothing_follows(self, subscription: Subscription) -> None:
        use(subscription.account_id, 3000, MIDDLE)
        canceling.cancel(subscription.account_id, MIDDLE)
        renewal.renew_due(END)
        assert [amount for _, amount in overage_lines(subscription.account_id)] == [1]

    @pytest.mark.parametrize("credit", [True, False])
    def test_at_once_by_staff_as_it_was_shown(self, subscription: Subscription, credit: bool) -> None:
        make_plan("free", 0, is_default=True)
        account = subscription.account_id
        use(account, 3000, MIDDLE - SECOND)
        shown = staff_ending.preview_end(account, MIDDLE, credit=credit)
        assert len(shown.documents.invoices) == 1 + credit
        use(account, 1000, MIDDLE)
        ended = staff_ending.end_now(account, MIDDLE + SECOND, MIDDLE, shown.digest, credit=credit)
        assert (ended.credit, overage_lines(account)[0][1]) == (16 * credit, money("1.5")), "more was used meanwhile"
        assert (WindowOverage.objects.get().until, fresh(subscription).status) == (MIDDLE + SECOND, "canceled")
        assert_explained(subscription)

    def test_to_a_plan_without_overage_at_the_periods_end(self, subscription: Subscription) -> None:
        lower = make_metered("lower", 10, 0, overage_price=None)
        account = subscription.account_id
        changes.downgrade_with_effective_date(account, lower, MIDDLE, NOBODY_USES_ANYTHING)
        use(account, 3000, MIDDLE)
        use(account, 1000, END)
        assert (renewal.renew_due(END).changed, renewal.renew_due(NEXT).renewed) == (1, 1)
        assert [amount for _, amount in overage_lines(account)] == [1]

    def test_what_follows_in_another_currency_changes_nothing(self, subscription: Subscription) -> None:
        euro = make_metered("euro", 20, 0, currency="EUR")
        account = subscription.account_id
        changes.downgrade_with_effective_date(account, euro, MIDDLE, NOBODY_USES_ANYTHING)
        use(account, 3000, MIDDLE)
        use(account, 5000, END)
        renewal.renew_due(END)
        renewal.renew_due(NEXT)
        of_overage = Invoice.objects.filter(lines__kind="overage").order_by("pk")
        assert list(of_overage.values_list("currency", "total")) == [("USD", 1), ("EUR", 2)]
        assert_explained(subscription)


class TestChangesWithinAWindow:
    """What was used above the old quota is due at the old price; what the largest quota gives is billed by nobody."""

    def test_an_upgrade_on_the_last_day_does_not_take_it_away(self, subscription: Subscription) -> None:
        unlimited = make_plan("unlimited", 62, 2)
        account, late = subscription.account_id, END - timedelta(days=1)
        use(account, 9000, MIDDLE)
        changes.upgrade(account, unlimited, late)
        use(account, 50_000, late + SECOND)
        renewal.renew_due(END)
        renewal.renew_due(NEXT)
        assert overage_lines(account) == [("8,000 tokens above the quota at 0.50 per 1,000", 4)]
        assert_explained(subscription)

    def test_to_a_larger_quota_only_what_is_above_that(self, subscription: Subscription) -> None:
        larger = make_metered("larger", 62, 2, monthly_token_quota=5000, overage_price=money("0.1"))
        account = subscription.account_id
        use(account, 3000, MIDDLE - SECOND)
        changes.upgrade(account, larger, MIDDLE)
        use(account, 5000, MIDDLE)
        renewal.renew_due(END)
        assert [amount for _, amount in overage_lines(account)] == [1, money("0.10")], (
            "2,000, then 8,000 - 5,000 - 2,000"
        )

    def test_in_full_the_window_goes_on_into_the_new_period(self, subscription: Subscription) -> None:
        full = make_metered("full", 62, 2, monthly_token_quota=2000, upgrade_mode="full_period")
        account = subscription.account_id
        use(account, 1500, MIDDLE - SECOND)
        changed = changes.upgrade(account, full, MIDDLE)
        use(account, 3000, MIDDLE)
        use(account, 2200, END)
        assert renewal.renew_due(END).periods == 0
        renewal.renew_due(changed.period.end)
        assert [(row.window_starts_at, row.until, row.tokens) for row in WindowOverage.objects.order_by("until")] == [
            (START, MIDDLE, 500),
            (START, END, 2000),
            (END, changed.period.end, 200),
        ]
        assert sum(amount for _, amount in overage_lines(account)) == money("1.35")
        assert_explained(subscription)

    def test_to_a_yearly_plan_it_is_billed_once_its_window_has_ended(self, subscription: Subscription) -> None:
        account, settled = subscription.account_id, MIDDLE + timedelta(days=31)
        use(account, 3000, MIDDLE - SECOND)
        changed = changes.upgrade(account, make_plan("yearly", 310, 2, interval="year"), MIDDLE)
        late = use(account, 1000, MIDDLE - 2 * SECOND, told_late=True)
        assert renewal.renew_due(settled - SECOND).invoices == 0
        record_without_redis([late])
        assert renewal.dry_run(settled).amounts == {"USD": money("1.5")}
        assert overage_lines(account) == []
        assert [renewal.renew_due(settled).invoices for _ in range(2)] == [1, 0]
        renewal.renew_due(changed.period.end)
        assert overage_lines(account) == [("3,000 tokens above the quota at 0.50 per 1,000", money("1.5"))]
        assert_explained(subscription)

    def test_where_none_waits_no_subscription_is_looked_at(
        self, subscription: Subscription, django_assert_num_queries: Any
    ) -> None:
        with django_assert_num_queries(1):
            assert parts.bill_parts(NEXT, keep=True) == RenewalReport()

    def test_of_a_deactivated_user_nothing_is(self, subscription: Subscription) -> None:
        account = subscription.account_id
        use(account, 3000, MIDDLE - SECOND)
        changes.upgrade(account, make_plan("yearly", 310, 2, interval="year"), MIDDLE)
        User.objects.update(is_active=False)
        assert renewal.renew_due(MIDDLE + timedelta(days=62)).invoices == 0

    def test_what_is_too_much_waits_for_the_close(self, subscription: Subscription, settings: Any) -> None:
        account = subscription.account_id
        use(account, 3000, MIDDLE - SECOND)
        changed = changes.upgrade(account, make_plan("yearly", 310, 2, interval="year"), MIDDLE)
        settings.LARGEST_INVOICE = 0
        assert renewal.renew_due(MIDDLE + timedelta(days=62)).invoices == 0
        assert renewal.renew_due(changed.period.end).parked == [subscription.pk]

    def test_from_the_calendar_month_the_rest_of_it_counts(self) -> None:
        low, account_of = make_plan("low", 10, 0, monthly_token_quota=500), make_subscription
        subscription = account_of(low, at("2025-10-10"))
        account = subscription.account_id
        use(account, 400, at("2025-10-11"))
        changes.upgrade(account, make_metered(), MIDDLE)
        use(account, 1100, MIDDLE)
        use(account, 1200, at("2025-11-02"))
        renewal.renew_due(at("2025-11-10"))
        final = (
            WindowOverage.objects.filter(is_part=False)
            .order_by("until")
            .values_list("window_starts_at", "until", "tokens")
        )
        assert list(final) == [(START, END, 500), (END, at("2025-11-10"), 200)]

    def test_staff_put_it_on_a_smaller_quota(self) -> None:
        large, small = (
            make_plan("large", 62, 2, monthly_token_quota=5000, quota_window="billing_period"),
            make_metered(),
        )
        subscription = make_subscription(large, START)
        use(subscription.account_id, 4000, MIDDLE - SECOND)
        hand_over(subscription, small, MIDDLE)
        use(subscription.account_id, 2000, MIDDLE)
        renewal.renew_due(END)
        assert [amount for _, amount in overage_lines(subscription.account_id)] == [money("0.5")], "5,000 were paid for"

    def test_there_and_back_at_one_instant(self, subscription: Subscription) -> None:
        other = make_metered("other", 62, 2)
        account = subscription.account_id
        use(account, 3000, MIDDLE - SECOND)
        changes.upgrade(account, other, MIDDLE)
        hand_over(subscription, Plan.objects.get(code="metered"), MIDDLE)
        renewal.renew_due(END)
        assert [amount for _, amount in overage_lines(account)] == [1]
        assert_explained(subscription)


class TestCredits:
    def test_a_credit_for_unused_time_touches_no_overage(self, subscription: Subscription, metered: Plan) -> None:
        use(subscription.account_id, 21_000, MIDDLE)
        renewal.renew_due(END)
        middle = at("2025-11-16")
        quote = quotes.quote(fresh(subscription).current_period(), make_plan("high", 93, 3), middle)
        assert quote.proration.credit == money("15.5")
        first = subscription.periods.get(number=0)
        assert quotes.unused(first, START) == 31, "of the first period the base price, not the 10.00 above it"

    def test_an_invoice_of_overage_can_be_credited_once_and_voided(self, subscription: Subscription) -> None:
        use(subscription.account_id, 5000, MIDDLE)
        renewal.renew_due(END)
        arrears, base = invoices(subscription)[1:]
        assert (arrears.creditable(), base.creditable()) == (2, 31)
        credit_notes.credit(arrears, money("0.5"), "sorry", END)
        assert (arrears.creditable(), base.creditable()) == (money("1.5"), 31)
        with pytest.raises(BillingError):
            credit_notes.credit(arrears, money("1.51"), "sorry", END)
        with pytest.raises(BillingError):
            credit_notes.void(arrears, END)
        assert_explained(subscription)

    def test_voided_it_is_not_billed_again(self, subscription: Subscription) -> None:
        account = subscription.account_id
        event = use(account, 5000, MIDDLE)
        renewal.renew_due(END)
        credit_notes.void(invoices(subscription)[1], END)
        record_without_redis([event.voided(event.at_ms + 1000)])
        renewal.renew_due(NEXT)
        assert (len(overage_lines(account)), ledger.balance(account, "USD")) == (1, 0)


def test_a_trial_sells_none_and_the_paid_period_does() -> None:
    make_plan("free", 0, is_default=True)
    subscription = make_subscription(Plan.objects.get(code="free"), START)
    account = subscription.account_id
    tried = make_metered("tried", trial_days=14)
    ends = changes.upgrade(account, tried, START).trial_ends_at
    assert ends is not None
    assert overage_now(account, START) is None
    use(account, 3000, START + SECOND)
    renewal.renew_due(ends)
    assert overage_lines(account) == []
    use(account, 3000, ends)
    renewal.renew_due(fresh(subscription).period_ends_at)
    assert [amount for _, amount in overage_lines(account)] == [1]
    assert_explained(subscription)
