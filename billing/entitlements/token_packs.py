"""Buying tokens on top of the quota."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from billing.invoicing import issuing, review, taxation
from billing.invoicing.bills import Bill, Line
from billing.invoicing.ledger import Kind
from billing.invoicing.pack_activation import activate
from billing.models import Invoice, Plan, Subscription, TokenPack, TokenPackPurchase
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.money import in_currency
from billing.rules.periods import Period
from billing.rules.usage_window import window_on
from billing.subscriptions.changes import locked
from billing.subscriptions.refusals import NothingToTopUp, UnderReview


@dataclass(frozen=True, slots=True)
class Bought:
    """A pack that was bought."""

    purchase: TokenPackPurchase
    invoice: Invoice | None
    """None of a pack that costs nothing."""
    valid_until: datetime | None
    """Where the tokens lapse; None until they count."""


def buy(account: int, pack: TokenPack, now: datetime) -> Bought:
    """Invoice a pack that is on sale.

    Its tokens count at once where it says so or nothing is due, else once the invoice is paid. They are a top-up: they
    belong to the usage window in which they begin to count. Raises NothingToTopUp on a plan of unlimited tokens,
    UnderReview, NoSubscription.
    """
    with transaction.atomic():
        subscription = locked(account, now)
        ends = lapses_at(subscription, subscription.plan, pack, now)
        price = in_currency(pack.price, pack.currency)
        # Nobody knows yet for which days they are that count from the payment on, so the line is for its instant alone.
        time = Period(now, ends if pack.counts_at_once else now + timedelta.resolution)
        line = Line(Kind.PACK, f"{pack.name}: {pack.tokens:,} tokens", price, time)
        (bill,) = taxation.taxed([Bill(subscription, pack.currency, (line,))], now)
        if review.review_reason([bill], review.issued_today([account], now)):
            raise UnderReview(reason="invoice")
        invoice = issuing.issue_one(bill, now)
        purchase = TokenPackPurchase.objects.create(
            account_id=account,
            pack=pack,
            invoice=invoice,
            tokens=pack.tokens,
            valid_days=pack.valid_days,
            bought_at=now,
        )
        ids = {"purchase": purchase.pk} | ({"invoice": invoice.pk} if invoice else {})
        record(Happened.TOKEN_PACK_BOUGHT, account, pack=pack.code, **ids)
        if pack.counts_at_once or invoice is None or invoice.status == Invoice.Status.PAID:
            activate(purchase)
            return Bought(purchase, invoice, ends)
    return Bought(purchase, invoice, None)


def lapses_at(subscription: Subscription, plan: Plan, pack: TokenPack, now: datetime) -> datetime:
    """Where the tokens of a pack lapse that begins to count now. Raises NothingToTopUp where tokens are unlimited."""
    if plan.monthly_token_quota is None:
        raise NothingToTopUp(plan=plan.name)
    ends = window_on(subscription, plan, now).end
    return ends if pack.valid_days is None else min(ends, now + timedelta(days=pack.valid_days))
