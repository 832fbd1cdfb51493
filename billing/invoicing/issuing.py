"""The only writer of invoices. Callers hold the subscription's row lock.

For every account and currency: billed - credit notes = received - refunded - taken back + due - balance. Billed is all
lines of invoices that are not void, but for the balance they used. There is no balance while anything is due, and it is
below 0 only where money was taken back that had been used. For every period of a subscription: billed - credit notes
>= 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from billing.bulk_insert import copy_rows, copy_values, reserve_ids
from billing.invoicing.bills import Bill, Line, to_issue
from billing.invoicing.ledger import Kind, balance_entry, balances, give_back, used_of
from billing.invoicing.numbering import INVOICES, take_numbers
from billing.invoicing.taxation import taxed
from billing.models import BalanceEntry, Invoice, InvoiceLine, InvoiceTax
from billing.models.invoicing.invoices import NOTHING
from billing.outbox.kinds import Happened
from billing.outbox.record import record_all
from billing.rules.tax import Treatment

LINE = (
    "invoice_id",
    "position",
    "kind",
    "description",
    "amount",
    "period_start",
    "period_end",
    "billing_period_id",
    "taxed_by_id",
)


def issue(bills: Sequence[Bill], now: datetime) -> list[Invoice]:
    """Issue one invoice a bill, in the caller's transaction and as its last step: the numbers are gapless.

    Which bills become invoices, and their tax, is decided here where the caller has not asked before.

    A balance is used up to the total, as a line of its own; one below 0 is billed by such a line. A negative total
    lowers what the account still owes on earlier invoices, those for the same time first; only the rest, which was
    paid, becomes balance.
    """
    bills = taxed(to_issue(bills), now)
    available = balances({bill.subscription.account_id for bill in bills})
    billed = [_with_balance(bill, available) for bill in bills]
    # Known beforehand, so that the lines can go first and an invoice is issued by the one statement that writes it.
    pairs = [(_invoice(pk, bill, now), bill) for pk, bill in zip(reserve_ids(Invoice, len(bills)), billed, strict=True)]
    taxes = _taxes(pairs)
    copy_rows(list(taxes.values()))
    copy_values(InvoiceLine, LINE, _lines(pairs, taxes))
    entries = [
        balance_entry(invoice, line.amount, now)
        for invoice, bill in pairs
        for line in bill.lines
        if line.kind == Kind.BALANCE
    ]
    for invoice, bill in pairs:
        if invoice.total < 0:
            entries += give_back(invoice, -invoice.total, now, bill.lines[0].sold)
    BalanceEntry.objects.bulk_create(entries)
    invoices = [invoice for invoice, _ in pairs]
    happened = [(invoice.account_id, {"invoice": invoice.pk, "status": invoice.status}) for invoice in invoices]
    record_all(Happened.INVOICE_ISSUED, happened)
    for invoice, number in zip(invoices, take_numbers(INVOICES, len(invoices)), strict=True):
        invoice.number = number
    copy_rows(invoices)
    return invoices


def issue_one(bill: Bill, now: datetime) -> Invoice | None:
    """As `issue`; None where the bill becomes no invoice, as all of it is 0."""
    return next(iter(issue([bill], now)), None)


def _invoice(pk: int, bill: Bill, now: datetime) -> Invoice:
    total, parties = bill.total, bill.parties
    return Invoice(
        pk=pk,
        account_id=bill.subscription.account_id,
        subscription_id=bill.subscription.pk,
        status=Invoice.Status.OPEN if total > 0 else Invoice.Status.PAID,
        currency=bill.currency,
        total=total,
        net=bill.gross - bill.tax,
        tax=bill.tax,
        seller=parties and parties.seller,
        buyer=parties and parties.buyer,
        reverse_charge=bill.reverse_charge,
        created_at=now,
        issued_at=now,
        due_at=now if parties is None else now + timedelta(days=parties.payment_days),
    )


def _with_balance(bill: Bill, available: dict[tuple[int, str], Decimal]) -> Bill:
    """The bill with what it uses of the account's balance; `available` is less by it for the account's next bill."""
    owner = (bill.subscription.account_id, bill.currency)
    used = used_of(available.get(owner, NOTHING), bill.total)
    if not used:
        return bill
    available[owner] -= used
    said = "Balance from earlier credits" if used > 0 else "Owed of a payment that was taken back"
    line = Line(Kind.BALANCE, said, -used, bill.lines[-1].period)
    return replace(bill, lines=(*bill.lines, line))


def _taxes(pairs: Sequence[tuple[Invoice, Bill]]) -> dict[tuple[int, Treatment], InvoiceTax]:
    sums = [(invoice.pk, each) for invoice, bill in pairs for each in bill.taxes]
    if not sums:
        return {}
    return {
        (invoice, each.treatment): InvoiceTax(
            pk=pk,
            invoice_id=invoice,
            category=each.treatment.category,
            percent=each.treatment.percent,
            country=each.treatment.country,
            name=each.treatment.name,
            included=each.treatment.included,
            net=each.net,
            tax=each.tax,
        )
        for pk, (invoice, each) in zip(reserve_ids(InvoiceTax, len(sums)), sums, strict=True)
    }


def _lines(
    pairs: Iterable[tuple[Invoice, Bill]], taxes: dict[tuple[int, Treatment], InvoiceTax]
) -> Iterable[Sequence[Any]]:
    """The values of LINE."""
    for invoice, bill in pairs:
        for position, line in enumerate(bill.lines, start=1):
            sold = line.sold.pk if line.sold else None
            taxed_by = taxes[invoice.pk, line.treatment].pk if line.treatment else None
            time = line.period
            yield invoice.pk, position, line.kind, line.description, line.amount, time.start, time.end, sold, taxed_by
