"""What a change by staff issues, read within its transaction: shown before it is made, and compared as it is made."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Max

from billing.invoicing import ledger
from billing.invoicing.ledger import Kind
from billing.models import BalanceEntry, Invoice, InvoiceLine
from billing.rules.money import in_currency


@dataclass(frozen=True, slots=True)
class Documents:
    """What a change issues. In a preview the invoices have numbers that are not kept."""

    invoices: tuple[tuple[Invoice, tuple[InvoiceLine, ...]], ...]
    settled: tuple[BalanceEntry, ...]
    """What the change gives back and earlier invoices use at once: entries below zero."""
    balance: Decimal
    """What is owed to the customer afterwards."""
    currency: str

    def said(self, *, but_overage: bool = False) -> tuple[object, ...]:
        """All that they say, but for their numbers, as a digest takes it in.

        `but_overage`: also without what bills tokens above the quota, of which a customer goes on using more.
        """
        issued, balance = [], self.balance
        for invoice, lines in self.invoices:
            if but_overage and any(line.kind == Kind.OVERAGE for line in lines):
                balance -= sum((line.amount for line in lines if line.kind == Kind.BALANCE), Decimal(0))
            else:
                issued.append([(line.description, in_currency(line.amount, invoice.currency)) for line in lines])
        settled = [(entry.invoice_id, in_currency(entry.amount, entry.currency)) for entry in self.settled]
        return issued, settled, in_currency(balance, self.currency)


def last_documents(account: int) -> tuple[int, int]:
    """The invoice and the balance entry made last, by primary key."""
    invoice = Invoice.objects.filter(account=account).aggregate(last=Max("pk"))["last"]
    entry = BalanceEntry.objects.filter(account=account).aggregate(last=Max("pk"))["last"]
    return invoice or 0, entry or 0


def documents_after(account: int, last: tuple[int, int], currency: str) -> Documents:
    """Read within the transaction, as a preview leaves nothing to read after it."""
    issued = Invoice.objects.filter(account=account, pk__gt=last[0]).order_by("pk").prefetch_related("lines")
    entries = BalanceEntry.objects.filter(account=account, pk__gt=last[1], amount__lt=0, invoice__pk__lte=last[0])
    return Documents(
        invoices=tuple((invoice, tuple(invoice.lines.all())) for invoice in issued),
        settled=tuple(entries.select_related("invoice").order_by("pk")),
        balance=in_currency(ledger.balance(account, currency), currency),
        currency=currency,
    )
