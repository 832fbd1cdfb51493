"""Laws M1 and M2 over random customers: whatever is billed, received, taken back and paid out is explained."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum
from django.test import override_settings
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from billing.invoicing import ledger
from billing.models import Invoice, MoneyIn, Payment, Refund, Reversal, TokenTopUp
from billing.models.payments.money import MANUAL
from billing.payments import refunds, reversals
from billing.payments.correction import move
from billing.payments.receive import receive
from billing.reports.month import money_of_month
from tests.billing.invoicing import test_money_laws as laws
from tests.billing.ledger import invoices
from tests.billing.reports.paid import paid_by_payments

pytestmark = [pytest.mark.django_db, pytest.mark.no_cover]  # other tests run all of these lines, once each
WHICH, PERCENT = st.integers(0, 20), st.integers(1, 100)
STEPS = st.one_of(
    laws.STEPS,
    st.tuples(st.just("receive"), st.tuples(st.integers(1, 300), st.none() | WHICH)),
    st.tuples(st.just("receive"), st.tuples(st.integers(1, 300), st.none() | WHICH)),
    st.tuples(st.just("receive foreign"), PERCENT),
    st.tuples(st.just("tell again"), WHICH),
    st.tuples(st.just("reverse"), st.tuples(WHICH, PERCENT)),
    st.tuples(st.just("reverse"), st.tuples(WHICH, st.just(100))),
    st.tuples(st.just("move"), st.tuples(WHICH, st.none() | WHICH)),
    st.tuples(st.just("refund"), st.tuples(PERCENT, st.none() | WHICH)),
    st.tuples(st.just("refund an invoice"), st.tuples(WHICH, PERCENT)),
    st.tuples(st.just("end refund"), st.tuples(WHICH, st.sampled_from(["sent", "unknown", "succeeded", "failed"]))),
)


class Payer(laws.Customer):
    """Money comes and goes beside all that can happen to a customer."""

    def check(self) -> None:
        super().check()
        settled = Payment.objects.values("invoice").annotate(sum=Sum("amount")).values_list("invoice", "sum")
        for invoice, paid in settled:
            assert 0 <= paid <= Invoice.objects.get(pk=invoice).settled
        assert money_of_month(self.now).paid == paid_by_payments(self.now)

    @property
    def currency(self) -> str:
        return self.plans[0].currency

    @property
    def account(self) -> int:
        return self.subscription.account_id

    def _receive(self, drawn: tuple[int, int | None]) -> None:
        percent, index = drawn
        issued = invoices(self.subscription)
        named = None if index is None or not issued else issued[index % len(issued)]
        due = sum((invoice.due for invoice in issued), Decimal(0)) or Decimal(10)
        self._arrive(self.currency, self._part(due, percent), named)

    def _receive_foreign(self, percent: int) -> None:
        self._arrive("CHF", Decimal(percent), None)

    def _arrive(self, currency: str, amount: Decimal, named: Invoice | None) -> None:
        number = MoneyIn.objects.count()
        source = MANUAL if number % 2 else "card"
        receive(self.account, currency, amount, source, f"transfer-{number}", self.now, self.now, named)

    def _tell_again(self, index: int) -> None:
        before = self._rows()
        known = self._one(MoneyIn, index)
        if known is None:
            return
        told = receive(
            known.account_id, known.currency, known.amount, known.source, known.reference, self.now, self.now
        )
        assert (told, self._rows()) == (known, before)

    def _rows(self) -> list[int]:
        return [model.objects.count() for model in (MoneyIn, Payment, Reversal, Refund, TokenTopUp)]

    def _reverse(self, drawn: tuple[int, int]) -> None:
        index, percent = drawn
        known = self._one(MoneyIn, index)
        if known is not None:
            amount = self._in(known.currency, reversals.left(known), percent)
            reversals.reverse(known, amount, "undone", f"r-{Reversal.objects.count()}", self.now)

    def _move(self, drawn: tuple[int, int | None]) -> None:
        known, invoice = self._one(MoneyIn, drawn[0]), None if drawn[1] is None else self._one(Invoice, drawn[1])
        if known is not None:
            move(known, self.account, "mixed up", self.now, invoice)

    def _refund(self, drawn: tuple[int, int | None]) -> None:
        percent, index = drawn
        known = None if index is None else self._one(MoneyIn, index)
        currency = known.currency if known else self.currency
        amount = self._in(currency, ledger.balance(self.account, currency), percent)
        refunds.request(self.account, currency, amount, "card", "asked for", self.now, known)

    def _refund_an_invoice(self, drawn: tuple[int, int]) -> None:
        index, percent = drawn
        invoice = self._one(Invoice, index)
        if invoice is not None and invoice.gross > 0:
            refunds.request_for_invoice(invoice, self._part(invoice.gross, percent), "card", "outage", self.now)

    def _end_refund(self, drawn: tuple[int, str]) -> None:
        index, state = drawn
        refund = self._one(Refund, index)
        if refund is not None:
            refunds.advance(refund, state, self.now, f"re-{refund.pk}")

    def _one(self, model: Any, index: int) -> Any:
        rows = list(model.objects.order_by("pk"))
        return rows[index % len(rows)] if rows else None

    def _in(self, currency: str, amount: Decimal, percent: int) -> Decimal:
        return Decimal(int(amount * percent / 100)) if currency == "CHF" else self._part(amount, percent)


@given(
    currency=laws.CURRENCIES,
    prices=st.lists(laws.MINOR_PRICES, min_size=4, max_size=4),
    anchor=laws.ANCHORS,
    steps=st.lists(STEPS, min_size=5, max_size=25),
)
@laws.LAWS
def test_every_cent_is_explained_whatever_comes_and_goes(
    currency: str, prices: list[int], anchor: datetime, steps: list[tuple[str, Any]]
) -> None:
    limits: dict[str, Any] = {"LARGEST_INVOICE": 10**9, "MOST_INVOICES_A_DAY": 10**6}
    with override_settings(**limits), laws.rolled_back(), freeze_time(anchor) as clock:
        payer = Payer(laws.plans_of(prices, currency, "month"), anchor, clock)
        for step, value in steps:
            payer.do(step, value)
