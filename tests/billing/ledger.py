"""What a ledger is tested with: its rows, what moves it, and what must hold on every account (law L6)."""

from __future__ import annotations

import itertools
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Sum

from billing.invoicing import ledger
from billing.invoicing.bills import Bill, Line
from billing.models import (
    BalanceEntry,
    BillingPeriod,
    CouponRedemption,
    CreditNote,
    Invoice,
    InvoiceLine,
    MoneyIn,
    Plan,
    Refund,
    Reversal,
    Subscription,
)
from billing.models.payments.money import MANUAL
from billing.payments.receive import receive
from billing.rules.money import from_minor
from billing.subscriptions import changes, quotes
from tests.factories import money


def fresh(subscription: Subscription) -> Subscription:
    return Subscription.objects.select_related("plan", "scheduled_plan").get(pk=subscription.pk)


def invoices(subscription: Subscription) -> list[Invoice]:
    """Oldest first."""
    return list(Invoice.objects.filter(subscription=subscription).order_by("issued_at", "pk"))


def lines(invoice: Invoice) -> list[tuple[str, Decimal]]:
    return list(invoice.lines.values_list("kind", "amount"))


def taxes(invoice: Invoice) -> list[tuple[Any, ...]]:
    return list(invoice.taxes.values_list("category", "percent", "net", "tax"))


def bill(subscription: Subscription, *amounts: object) -> Bill:
    sold = subscription.periods.get()
    kinds = [InvoiceLine.Kind.CHARGE if money(amount) >= 0 else InvoiceLine.Kind.CREDIT for amount in amounts]
    return Bill(
        subscription,
        "USD",
        tuple(
            Line(kind, "test", money(amount), sold.period, sold) for kind, amount in zip(kinds, amounts, strict=True)
        ),
    )


def pay(invoice: Invoice, amount: Decimal, at: datetime, reference: str) -> MoneyIn:
    """Money that staff note for an invoice, at the instant that it came."""
    money_in = receive(invoice.account_id, invoice.currency, amount, MANUAL, reference, at, at, invoice)
    invoice.refresh_from_db()
    return money_in


def pay_in_full(invoice: Invoice, now: datetime) -> None:
    pay(invoice, invoice.due, now, f"bank-{invoice.number}")


def hand_over(subscription: Subscription, target: Plan, now: datetime) -> changes.Changed:
    """What staff do: another plan now, in either direction."""
    with transaction.atomic():
        period = changes.locked(subscription.account_id, now).current_period()
        return changes.change_now(quotes.quote(period, target, now), now)


def schedule(subscription: Subscription, target: Plan) -> None:
    """As `changes.downgrade_with_effective_date` does, without asking for features in use."""
    Subscription.objects.filter(pk=subscription.pk).update(
        scheduled_plan=target, scheduled_at=fresh(subscription).period_ends_at
    )


def assert_explained(subscription: Subscription) -> None:
    """Every cent of the account's ledger is accounted for, and no period was credited beyond what was billed for it."""
    documents = Invoice.objects.filter(account=subscription.account_id)
    for invoice in documents:
        assert invoice.total == _sum(invoice.lines.all()), invoice
        assert 0 <= invoice.settled <= max(invoice.total, Decimal(0)), invoice
        _assert_taxed(invoice)
    arrived = MoneyIn.objects.filter(account=subscription.account_id)
    for currency in {*documents.values_list("currency", flat=True), *arrived.values_list("currency", flat=True)}:
        _assert_explained_in(subscription.account_id, currency)
    for money_in in arrived:
        _assert_placed(money_in)
    for period in BillingPeriod.objects.filter(subscription__account=subscription.account_id):
        billed_lines = InvoiceLine.objects.of_period(period)
        notes = CreditNote.objects.filter(invoice__in=billed_lines.filter(amount__gt=0).values("invoice"))
        noted = sum((price for note in notes for price in note.prices().values()), Decimal(0))
        # A note is split into net and tax, which rounds once; without tax nothing does.
        unit = from_minor(1, period.currency) * notes.exclude(tax=0).count()
        assert _sum(billed_lines) - noted >= -unit, "credit never exceeds what was billed"


def _assert_taxed(invoice: Invoice) -> None:
    """Net and tax are what was billed, by treatment; each treatment's tax was rounded once; so are the notes'."""
    lines = list(invoice.lines.select_related("taxed_by"))
    assert invoice.gross == sum(line.amount for line in lines if line.kind != "balance"), invoice
    rows = list(invoice.taxes.all())
    if not rows:
        assert (invoice.tax, invoice.seller) == (0, None)
        return
    assert (invoice.net, invoice.tax) == (sum(row.net for row in rows), sum(row.tax for row in rows))
    assert invoice.reverse_charge == any(row.category == "AE" for row in rows)
    for row in rows:
        sold = sum(line.amount for line in lines if line.taxed_by == row and line.kind != "tax")
        on_top = sum(line.amount for line in lines if line.taxed_by == row and line.kind == "tax")
        assert row.tax == row.treatment.tax_on(sold, invoice.currency)
        assert (row.net, on_top) == ((sold - row.tax, 0) if row.included else (sold, row.tax))
    notes = list(invoice.credit_notes.prefetch_related("taxes"))
    for note in notes:
        taxes = note.taxes.all()
        assert (note.net, note.tax) == (sum(each.net for each in taxes), sum(each.tax for each in taxes))
    if notes and sum(note.amount for note in notes) == invoice.gross:
        assert sum(note.tax for note in notes) == invoice.tax, "all of it takes back all of the tax"


def assert_discounted(account: int) -> None:
    """No coupon discounts more periods than it promises, and each of them is counted."""
    for redemption in CouponRedemption.objects.filter(account=account).select_related("coupon"):
        promised, used = redemption.coupon.periods, redemption.periods_used
        assert promised is None or used + (redemption.periods_left or 0) == promised
        periods = BillingPeriod.objects.filter(subscription__account=account, coupon=redemption.coupon)
        # One of which nothing was used goes along to the period that a change begins.
        assert used <= periods.count()
        assert promised is not None or redemption.periods_left is None
    assert CouponRedemption.objects.active().filter(account=account).count() <= 1


def _assert_explained_in(account: int, currency: str) -> None:
    """Law M1. Billed is on invoices that are not void, but for the balance used; refunds are those not failed."""
    documents = Invoice.objects.filter(account=account, currency=currency)
    standing = documents.exclude(status=Invoice.Status.VOID)
    billed = _sum(InvoiceLine.objects.filter(invoice__in=standing).exclude(kind=InvoiceLine.Kind.BALANCE))
    noted = _sum(CreditNote.objects.filter(account=account, currency=currency))
    received = _sum(MoneyIn.objects.filter(account=account, currency=currency))
    reversed_ = _sum(Reversal.objects.filter(money_in__account=account, money_in__currency=currency))
    refunded = _sum(Refund.objects.filter(account=account, currency=currency).exclude(state="failed"))
    due = sum((invoice.due for invoice in documents), Decimal(0))
    balance = ledger.balance(account, currency)
    assert billed - noted == received - refunded - reversed_ + due - balance
    assert balance >= 0 or reversed_, "only money that was taken back after it was used makes a customer owe a balance"
    assert not (balance > 0 and due), "a balance is used for what is due"


def _assert_placed(money_in: MoneyIn) -> None:
    """Law M2: all of it lies on invoices, on the balance, or was taken back from there."""
    paid = money_in.payments.filter(reversal=None)
    assert money_in.amount == _sum(paid) + money_in.to_balance
    assert _sum(BalanceEntry.objects.filter(money_in=money_in)) == money_in.to_balance
    for reversal in money_in.reversals.all():
        assert reversal.amount == reversal.from_balance - _sum(reversal.payments.all())
        assert _sum(BalanceEntry.objects.filter(reversal=reversal)) == -reversal.from_balance
    assert _sum(money_in.reversals.all()) <= money_in.amount
    assert _sum(money_in.reversals.all(), "from_balance") <= money_in.to_balance
    for payment in paid:
        assert 0 <= _sum(money_in.payments.filter(invoice=payment.invoice_id)) <= payment.amount


def assert_tiled(subscription: Subscription) -> None:
    """Its periods follow one another without gap or overlap, the last ones counted from the anchor (law L7).

    On trial that is the trial's end, where the next one begins.
    """
    live = fresh(subscription)
    periods = list(BillingPeriod.objects.filter(subscription=live).order_by("number"))
    assert [period.number for period in periods] == list(range(len(periods)))
    starts = [*(period.starts_at for period in periods), *([live.period_ends_at] if live.is_on_trial else [])]
    assert starts[live.anchor_number] == live.anchor
    assert periods[-1].ends_at == live.period_ends_at
    for before, after in itertools.pairwise(periods):
        assert before.ends_at == after.starts_at


def _sum(rows: Any, column: str = "amount") -> Decimal:
    return Decimal(rows.aggregate(sum=Sum(column))["sum"] or 0)
