"""What the invoice after a change of plan comes to, told before the change is made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.invoicing import ledger, taxation
from billing.models import Invoice
from billing.models.invoicing.invoices import NOTHING
from billing.rules.money import in_currency
from billing.rules.periods import nth_period
from billing.subscriptions.coupons import discounts
from billing.subscriptions.quotes import Quote


@dataclass(frozen=True, slots=True)
class Settled:
    """What becomes of a quote's total. In the quote's currency; tax is in it."""

    from_balance: Decimal
    """Below 0 where the account owes a balance, which is billed with it."""
    to_pay: Decimal
    lowers_due: Decimal
    """Of a credit: what it takes off invoices that are still open."""
    to_balance: Decimal
    """Of a credit: the rest."""
    balance_left: Decimal

    @property
    def owed_before(self) -> Decimal:
        """What is billed with it, as the account owes a balance; at least 0."""
        return max(-self.from_balance, NOTHING)


@dataclass(frozen=True, slots=True)
class NextInvoice:
    at: datetime
    amount: Decimal
    """At present prices, net of a coupon, with that day's tax, less what the change leaves of the balance."""


def settled(quote: Quote) -> Settled:
    account, currency = quote.period.subscription.account_id, quote.period.currency
    gross, balance = quote.bill(quote.at).gross, ledger.balance(account, currency)
    open_invoices = Invoice.objects.due().filter(account=account, currency=currency)
    due = sum((each.due for each in open_invoices), NOTHING)
    credit = max(-gross, NOTHING)
    from_balance, lowers_due = ledger.used_of(balance, gross), min(credit, due)
    to_balance = credit - lowers_due
    left = balance - from_balance + to_balance
    return Settled(from_balance, max(gross, NOTHING) - from_balance, lowers_due, to_balance, left)


def after(quote: Quote, balance_left: Decimal) -> NextInvoice:
    """What `CurrentSubscription.next_invoice_amount` is going to be once the change is made."""
    account, currency, target = quote.period.subscription.account_id, quote.period.currency, quote.target
    ends_at = _period_ends_at(quote)
    price = in_currency(target.price - _next_discount(quote), currency)
    gross = taxation.gross_of(account, currency, price, ends_at)
    return NextInvoice(ends_at, in_currency(gross - ledger.used_of(balance_left, gross), currency))


def _period_ends_at(quote: Quote) -> datetime:
    if quote.trial_ends_at is not None:
        return quote.trial_ends_at
    if not quote.opens_period:
        return quote.period.ends_at
    return nth_period(quote.at.replace(microsecond=0), quote.target.billed_every, 0).end


def _next_discount(quote: Quote) -> Decimal:
    redemption = discounts.active(quote.period.subscription.account_id)
    if redemption is None or not quote.target.price:
        return NOTHING
    uses_one = quote.discount is not None and quote.discount.uses is not None
    if redemption.periods_left is not None and redemption.periods_left <= uses_one:
        return NOTHING
    return redemption.coupon.discount_on(quote.target, quote.target.price)
