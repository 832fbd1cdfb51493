"""Tax of changes of plan: what is given back bears the rate it was billed with, and a preview says what is billed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from billing.invoicing import credit_notes, ledger
from billing.models import Plan, Seller
from billing.subscriptions import changes, previews, quotes, refusals
from billing.subscriptions.current import current_subscription
from billing.subscriptions.period_end import renewal
from billing.subscriptions.staff import ending as staff_ending
from tests.billing.ledger import assert_explained, hand_over, invoices, lines, pay_in_full, taxes
from tests.factories import at, make_details, make_plan, make_rate, make_seller, make_subscription, money

pytestmark = pytest.mark.django_db
START, MIDDLE, END = at("2025-10-01"), at("2025-10-16 12:00:00"), at("2025-11-01")


class TestChanges:
    """Of 31 days 15.5 are left, by day 16."""

    def test_a_credit_bears_the_rate_of_its_period(self, germany: Seller, plan: Plan, higher: Plan) -> None:
        sold = make_subscription(plan, START)
        make_rate("DE", 16, at("2025-10-10"))
        changed = changes.upgrade(sold.account_id, higher, MIDDLE)
        assert changed.invoice is not None
        assert lines(changed.invoice) == [
            ("credit", money("-51.61")),
            ("charge", money("103.23")),
            ("tax", money("-9.81")),
            ("tax", money("16.52")),
        ]
        assert taxes(changed.invoice) == [
            ("S", 19, money("-51.61"), money("-9.81")),
            ("S", 16, money("103.23"), money("16.52")),
        ]
        assert_explained(sold)

    def test_reverse_charge_begins_in_mid_period(self, germany: Seller, plan: Plan, higher: Plan) -> None:
        sold = make_subscription(plan, START)
        make_details(sold.account_id, "FR", "FR40303265045")
        changed = changes.upgrade(sold.account_id, higher, MIDDLE)
        assert changed.invoice is not None
        assert [kind for kind, _ in lines(changed.invoice)] == ["credit", "charge", "tax"]
        assert (changed.invoice.tax, changed.invoice.reverse_charge) == (money("-9.81"), True)
        down = hand_over(sold, plan, MIDDLE).invoice
        assert down is not None
        assert taxes(down) == [("AE", 0, money("-51.62"), 0)], "of the charge, which bore none"
        assert_explained(sold)

    def test_a_seller_that_comes_later_gives_back_no_tax(self, plan: Plan, higher: Plan) -> None:
        sold = make_subscription(plan, START)
        make_rate("DE", 19)
        make_seller()
        changed = changes.upgrade(sold.account_id, higher, MIDDLE)
        assert changed.invoice is not None
        assert (changed.invoice.tax, taxes(changed.invoice)[0][:2]) == (money("19.61"), ("O", 0))
        assert_explained(sold)

    @pytest.mark.parametrize("included", [False, True])
    def test_up_and_down_at_the_start_gives_back_all_that_was_paid(
        self, germany: Seller, plan: Plan, higher: Plan, settings: Any, included: bool
    ) -> None:
        settings.PRICES_INCLUDE_TAX = included
        sold = make_subscription(plan, START)
        pay_in_full(invoices(sold)[0], START)
        pay_in_full(hand_over(sold, higher, START).invoice, START)  # type: ignore[arg-type]
        paid = 200 if included else 238
        assert sum(payment.amount for invoice in invoices(sold) for payment in invoice.payments.all()) == paid
        hand_over(sold, make_plan("free", 0, 0), START)
        assert ledger.balance(sold.account_id, "USD") == paid
        assert_explained(sold)

    def test_prices_that_included_tax_are_given_back_with_it(
        self, germany: Seller, plan: Plan, higher: Plan, settings: Any
    ) -> None:
        settings.PRICES_INCLUDE_TAX = True
        sold = make_subscription(plan, START)
        settings.PRICES_INCLUDE_TAX = False
        changed = changes.upgrade(sold.account_id, higher, MIDDLE).invoice
        assert changed is not None
        assert lines(changed) == [("credit", money("-51.61")), ("charge", money("103.23")), ("tax", money("19.61"))]
        assert taxes(changed) == [
            ("S", 19, money("-43.37"), money("-8.24")),
            ("S", 19, money("103.23"), money("19.61")),
        ]
        assert_explained(sold)

    def test_an_end_at_once_gives_back_the_rest_with_its_tax(self, germany: Seller, plan: Plan) -> None:
        make_plan("free", 0, 0, is_default=True)
        sold = make_subscription(plan, START)
        pay_in_full(invoices(sold)[0], START)
        make_rate("DE", 16, at("2025-10-10"))
        shown = staff_ending.preview_end(sold.account_id, MIDDLE, credit=True)
        ended = staff_ending.end_now(sold.account_id, MIDDLE, MIDDLE, shown.digest, credit=True)
        assert (ended.credit, ended.documents.balance) == (money("51.61"), money("61.42"))
        assert taxes(invoices(sold)[-1]) == [("S", 19, money("-51.61"), money("-9.81"))]
        assert_explained(sold)


class TestPreviews:
    def test_they_are_what_is_billed(self, germany: Seller, plan: Plan, higher: Plan) -> None:
        sold = make_subscription(plan, START)
        bill = previews.calculate_proration(sold.account_id, higher, MIDDLE).bill(MIDDLE)
        changed = changes.upgrade(sold.account_id, higher, MIDDLE)
        assert changed.invoice is not None
        assert (bill.tax, bill.gross) == (changed.invoice.tax, changed.invoice.gross) == (money("9.81"), money("61.43"))

    @pytest.mark.parametrize("shown", ["alone", "with a digest"])
    def test_a_quote_ends_with_its_tax(self, germany: Seller, plan: Plan, higher: Plan, shown: str) -> None:
        sold, later = make_subscription(plan, START), MIDDLE + timedelta(minutes=5)
        make_rate("DE", 16, MIDDLE + timedelta(minutes=2))
        quote = quotes.quote(sold.current_period(), higher, MIDDLE)
        digest = None if shown == "alone" else quote.digest()
        with pytest.raises(refusals.QuoteExpired, match="tax"):
            changes.upgrade(sold.account_id, higher, later, MIDDLE, digest)

    def test_the_next_invoice_is_with_tax(self, germany: Seller, plan: Plan) -> None:
        sold = make_subscription(plan, START)
        assert current_subscription(sold.account_id, MIDDLE).next_invoice_amount == 119
        make_rate("DE", 16, END)
        assert current_subscription(sold.account_id, MIDDLE).next_invoice_amount == 116
        renewal.renew_due(END)
        assert invoices(sold)[-1].total == 116

    def test_a_balance_pays_tax_as_well(self, germany: Seller, plan: Plan) -> None:
        sold = make_subscription(plan, START)
        pay_in_full(invoices(sold)[0], START)
        credit_notes.credit(invoices(sold)[0], money("59.50"), "outage", MIDDLE)
        assert current_subscription(sold.account_id, MIDDLE).next_invoice_amount == money("59.50")
        renewal.renew_due(END)
        second = invoices(sold)[-1]
        assert lines(second) == [("base", 100), ("tax", 19), ("balance", money("-59.50"))]
        assert (second.gross, second.total, second.due) == (119, money("59.50"), money("59.50"))
        assert_explained(sold)
