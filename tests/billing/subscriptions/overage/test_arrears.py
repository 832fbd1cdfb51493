"""Tokens above the quota are billed at the close of their window, each once, whatever comes late."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model

from billing.invoicing import credit_notes
from billing.models import Invoice, LimitOverride, Plan, Subscription, TokenTopUp, WindowOverage
from billing.subscriptions import canceling, changes
from billing.subscriptions.current import current_subscription
from billing.subscriptions.period_end import releasing, renewal
from tests.billing.ledger import assert_explained, assert_tiled, fresh, invoices, lines, pay_in_full
from tests.billing.metered import make_metered, overage_lines, use
from tests.factories import at, make_plan, make_subscription, money
from usage.log.store import record_without_redis

pytestmark = pytest.mark.django_db
START, MIDDLE, END, NEXT = at("2025-10-01"), at("2025-10-16"), at("2025-11-01"), at("2025-12-01")
NOBODY_USES_ANYTHING = frozenset[str]()
SECOND = timedelta(seconds=1)


class TestAtTheClose:
    def test_as_a_line_of_an_invoice_of_its_own(self, subscription: Subscription) -> None:
        use(subscription.account_id, 13_345, MIDDLE)
        done = renewal.renew_due(END)
        assert (done.renewed, done.invoices, done.amounts) == (1, 2, {"USD": money("37.17")})
        _, arrears, base = invoices(subscription)
        assert (lines(arrears), lines(base)) == ([("overage", money("6.17"))], [("base", 31)])
        line = arrears.lines.get()
        assert line.description == "12,345 tokens above the quota at 0.50 per 1,000"
        assert (line.period_start, line.period_end) == (START, END)
        row = WindowOverage.objects.get()
        assert (row.included, row.used, row.tokens, row.amount, row.invoice) == (
            1000,
            13_345,
            12_345,
            line.amount,
            arrears,
        )
        assert_explained(subscription)
        assert_tiled(subscription)

    @pytest.mark.parametrize(
        ("used", "billed"), [(0, None), (1000, None), (1009, None), (1010, "0.01"), (2000, "0.50")]
    )
    def test_to_the_token(self, subscription: Subscription, used: int, billed: str | None) -> None:
        if used:
            use(subscription.account_id, used, MIDDLE)
        renewal.renew_due(END)
        assert [amount for _, amount in overage_lines(subscription.account_id)] == ([money(billed)] if billed else [])
        assert WindowOverage.objects.get().tokens == max(used - 1000, 0)

    def test_the_last_second_of_the_month_and_the_first_of_the_next(self, subscription: Subscription) -> None:
        account = subscription.account_id
        use(account, 2000, END - timedelta(milliseconds=1))
        use(account, 1100, END)
        renewal.renew_due(END)
        renewal.renew_due(NEXT)
        assert overage_lines(account) == [
            ("1,000 tokens above the quota at 0.50 per 1,000", money("0.5")),
            ("100 tokens above the quota at 0.50 per 1,000", money("0.05")),
        ]

    def test_months_late_each_window_has_its_line(self, subscription: Subscription) -> None:
        for month in (10, 11, 12):
            use(subscription.account_id, 1000 + month * 100, at(f"2025-{month}-20"))
        done = renewal.renew_due(at("2026-01-15"))
        assert (done.periods, done.invoices) == (3, 4)
        assert [amount for _, amount in overage_lines(subscription.account_id)] == [
            money("0.50"),
            money("0.55"),
            money("0.6"),
        ]
        assert_explained(subscription)

    def test_at_the_price_of_its_own_period(self, subscription: Subscription, metered: Plan) -> None:
        metered.overage_price = money(9)
        metered.save()
        use(subscription.account_id, 2000, MIDDLE)
        use(subscription.account_id, 2000, END)
        renewal.renew_due(END)
        Subscription.objects.get().periods.filter(number=1).update(overage_price=money(9))
        renewal.renew_due(NEXT)
        assert [amount for _, amount in overage_lines(subscription.account_id)] == [money("0.5"), 9]

    def test_a_plan_that_begins_to_sell_bills_from_the_next_period(self) -> None:
        plan = make_metered("later", overage_price=None)
        subscription = make_subscription(plan, START)
        use(subscription.account_id, 1500, MIDDLE)
        Plan.objects.filter(pk=plan.pk).update(overage_price=money(1))
        renewal.renew_due(END)
        assert (overage_lines(subscription.account_id), fresh(subscription).current_period().overage_price) == ([], 1)

    def test_overrides_and_top_ups_are_included(self, subscription: Subscription) -> None:
        user = subscription.account
        gone = LimitOverride.objects.create(account=user, limit="quota", maximum=1400, created_at=START)
        gone.expires_at = MIDDLE
        gone.save()
        TokenTopUp.objects.create(account=user, tokens=100, starts_at=MIDDLE)
        use(user.pk, 2500, MIDDLE)
        renewal.renew_due(END)
        assert WindowOverage.objects.get().included == 1500
        assert overage_lines(user.pk) == [("1,000 tokens above the quota at 0.50 per 1,000", money("0.5"))]

    def test_of_a_top_up_that_has_lapsed_what_was_spent(self, subscription: Subscription) -> None:
        account = subscription.account_id
        TokenTopUp.objects.create(account_id=account, tokens=500, starts_at=START, expires_at=MIDDLE)
        use(account, 400, MIDDLE - SECOND)
        use(account, 3000, MIDDLE)
        renewal.renew_due(END)
        assert (WindowOverage.objects.get().included, overage_lines(account)[0][1]) == (1400, 1)

    def test_a_deleted_override_counts_as_long_as_it_held(self, subscription: Subscription) -> None:
        LimitOverride.objects.create(account=subscription.account, limit="quota", created_at=START).delete()
        use(subscription.account_id, 5000, MIDDLE)
        renewal.renew_due(END)
        assert (WindowOverage.objects.get().included, overage_lines(subscription.account_id)) == (None, [])

    def test_a_balance_pays_it_before_the_next_base_price(self, subscription: Subscription) -> None:
        (base,) = invoices(subscription)
        pay_in_full(base, START)
        credit_notes.credit(base, money(5), "sorry", START)
        use(subscription.account_id, 3000, MIDDLE)
        renewal.renew_due(END)
        _, arrears, following = invoices(subscription)
        assert lines(arrears) == [("overage", 1), ("balance", -1)]
        assert (arrears.status, lines(following)) == ("paid", [("base", 31), ("balance", -4)])
        assert_explained(subscription)

    def test_one_that_looks_wrong_parks_until_staff_have_looked(self, subscription: Subscription) -> None:
        use(subscription.account_id, 40_000_000, MIDDLE)
        assert renewal.renew_due(END).parked == [subscription.pk]
        assert (len(invoices(subscription)), WindowOverage.objects.exists()) == (1, False)
        releasing.release(fresh(subscription), END)
        assert overage_lines(subscription.account_id) == [
            ("39,999,000 tokens above the quota at 0.50 per 1,000", money("19999.5"))
        ]
        assert_explained(subscription)

    def test_a_dry_run_says_it_and_writes_nothing(self, subscription: Subscription) -> None:
        use(subscription.account_id, 3000, MIDDLE)
        foreseen = renewal.dry_run(END)
        assert (foreseen.invoices, foreseen.amounts) == (2, {"USD": 32})
        assert (len(invoices(subscription)), WindowOverage.objects.exists()) == (1, False)

    def test_a_deactivated_user_is_never_invoiced_again(self, subscription: Subscription) -> None:
        use(subscription.account_id, 3000, MIDDLE)
        get_user_model().objects.update(is_active=False)
        assert (renewal.renew_due(END).ended, len(invoices(subscription))) == (1, 1)

    def test_nor_when_he_is_back(self, subscription: Subscription) -> None:
        make_plan("free", 0, is_default=True)
        account = subscription.account_id
        use(account, 9000, MIDDLE)
        changes.upgrade(account, make_plan("unlimited", 62, 2), MIDDLE + SECOND)
        get_user_model().objects.update(is_active=False)
        renewal.renew_due(END)
        get_user_model().objects.update(is_active=True)
        current_subscription(account, END)
        assert renewal.renew_due(NEXT).renewed == 1
        assert overage_lines(account) == []


class TestLate:
    """What PostgreSQL learns after the close goes to the next invoice, named."""

    def test_a_late_token_is_billed_once(self, subscription: Subscription) -> None:
        account = subscription.account_id
        use(account, 1500, MIDDLE)
        late = use(account, 40, END - SECOND, told_late=True)
        renewal.renew_due(END)
        record_without_redis([late])
        record_without_redis([late])
        for close in (NEXT, at("2026-01-01")):
            renewal.renew_due(close)
        assert overage_lines(account) == [
            ("500 tokens above the quota at 0.50 per 1,000", money("0.25")),
            ("Late: 40 tokens above the quota of 2025-10-01 to 2025-11-01 at 0.50 per 1,000", money("0.02")),
        ]
        assert_explained(subscription)

    def test_in_drops_it_is_rounded_once(self, subscription: Subscription) -> None:
        account = subscription.account_id
        drops = [use(account, tokens, END - SECOND, told_late=True) for tokens in (1000, 6, 6)]
        record_without_redis(drops[:1])
        renewal.renew_due(END)
        for drop, close in zip(drops[1:], (NEXT, at("2026-01-01")), strict=True):
            record_without_redis([drop])
            renewal.renew_due(close)
        assert [amount for _, amount in overage_lines(account)] == [money("0.01")]

    def test_what_is_voided_later_is_given_back(self, subscription: Subscription) -> None:
        account = subscription.account_id
        event = use(account, 5000, END - SECOND)
        renewal.renew_due(END)
        for invoice in Invoice.objects.due():
            pay_in_full(invoice, END)
        record_without_redis([event.voided(event.at_ms + 1000)])
        use(account, 2000, END)
        renewal.renew_due(NEXT)
        assert overage_lines(account)[1:] == [
            ("Taken back: 4,000 tokens above the quota of 2025-10-01 to 2025-11-01 at 0.50 per 1,000", -2),
            ("1,000 tokens above the quota at 0.50 per 1,000", money("0.5")),
        ]
        *_, given_back, base = invoices(subscription)
        assert (given_back.total, lines(base)) == (money("-1.5"), [("base", 31), ("balance", money("-1.5"))])
        assert WindowOverage.objects.get(window_starts_at=START).tokens == 0
        assert_explained(subscription)

    def test_what_staff_had_credited_is_not_given_back_twice(self, subscription: Subscription) -> None:
        account = subscription.account_id
        event = use(account, 5000, END - SECOND)
        renewal.renew_due(END)
        arrears = invoices(subscription)[1]
        credit_notes.credit(arrears, money("1.5"), "sorry", END)
        record_without_redis([event.voided(event.at_ms + 1000)])
        renewal.renew_due(NEXT)
        assert overage_lines(account)[1][1] == money("-0.5")
        assert arrears.creditable() == 0
        assert_explained(subscription)

    def test_a_hundred_days_later_nobody_looks_any_more(self, subscription: Subscription) -> None:
        account = subscription.account_id
        late = [use(account, 3000, END - SECOND, told_late=True), use(account, 5000, NEXT - SECOND, told_late=True)]
        for close in (END, NEXT, at("2026-01-01"), at("2026-02-01")):
            renewal.renew_due(close)
        record_without_redis(late)
        renewal.renew_due(at("2026-03-01"))
        assert [amount for _, amount in overage_lines(account)] == [2], "November ended 90 days ago, October 120"

    def test_after_the_end_it_goes_to_what_follows(self, subscription: Subscription) -> None:
        make_plan("free", 0, is_default=True)
        account = subscription.account_id
        late = use(account, 3000, END - SECOND, told_late=True)
        canceling.cancel(account, MIDDLE)
        renewal.renew_due(END)
        record_without_redis([late])
        renewal.renew_due(NEXT)
        assert [amount for _, amount in overage_lines(account)] == [1]
        assert_explained(subscription)
