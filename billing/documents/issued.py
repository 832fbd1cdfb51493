"""Documents of the rows that were issued. All that is on one was stored with it and is immutable."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from billing.documents.document import Document, Kind, Party, Payment, Reference, Row, last_day
from billing.models import CreditNote, Invoice, InvoiceLine
from billing.models.invoicing.invoices import NOT_SOLD
from billing.rules.refused import Refused
from billing.rules.tax import Category, TaxSum

MOST_LINES: Final = 500
"""Of one document: a line takes a few ms of a processor."""
SETTLEMENT: Final = (
    "The amount is taken off what is due on {invoice}; the rest is kept as a balance for later invoices."
)


class NoDocument(Refused):
    """There is none of this row. Its parameters: `number`, and the `reason` no_seller, void or too_long."""

    code = "no_document"


def has_document(invoice: Invoice) -> bool:
    """Whether there is one to be looked at. An invoice that was voided counts as never billed."""
    return invoice.seller is not None and invoice.is_billed


def of_invoice(invoice: Invoice) -> Document:
    """The invoice as it was issued: payments, credit notes and a void that came later are not on it.

    Raises NoDocument where there was no seller. A void one has its document all the same, for the archive: see
    `has_document`.
    """
    lines = list(invoice.lines.select_related("taxed_by")[: MOST_LINES + 1])
    if len(lines) > MOST_LINES:
        raise NoDocument(reason="too_long", number=str(invoice), most=MOST_LINES)
    sold = _seller(invoice, str(invoice))
    return Document(
        kind=Kind.INVOICE,
        number=str(invoice),
        issued_at=_issued_at(invoice),
        currency=invoice.currency,
        seller=_party(sold),
        buyer=_party(_buyer(invoice)),
        rows=tuple(
            Row(
                line.description,
                line.amount,
                line.treatment,
                line.period_start.date(),
                last_day(line.period_start, line.period_end),
            )
            for line in lines
            if line.kind not in NOT_SOLD
        ),
        taxes=tuple(each.sum for each in invoice.taxes.all()),
        balance_used=-sum((line.amount for line in lines if line.kind == InvoiceLine.Kind.BALANCE), Decimal(0)),
        due_on=invoice.due_at.date() if invoice.due_at else None,
        payment=Payment(sold["payment_days"], sold["iban"], sold["payment_text"]),
        notes=(sold["reverse_charge_text"],) if invoice.reverse_charge else (),
    )


def of_credit_note(note: CreditNote) -> Document:
    """The credit note as it was issued. Raises NoDocument where there was no seller when its invoice was issued."""
    invoice, taxes = note.invoice, list(note.taxes.select_related("of"))
    sold = _seller(invoice, str(note))
    sums = tuple(TaxSum(each.of.treatment, each.net, each.tax) for each in taxes if each.net or each.tax)
    reversed_charge = any(each.treatment.category == Category.REVERSE_CHARGE for each in sums)
    settlement = SETTLEMENT.format(invoice=invoice)
    return Document(
        kind=Kind.CREDIT_NOTE,
        number=str(note),
        issued_at=note.issued_at,
        currency=note.currency,
        seller=_party(sold),
        buyer=_party(_buyer(invoice)),
        rows=tuple(
            Row(note.reason, each.net + each.tax if each.treatment.included else each.net, each.treatment)
            for each in sums
        ),
        taxes=sums,
        credits=Reference(str(invoice), _issued_at(invoice).date()),
        notes=(sold["reverse_charge_text"], settlement) if reversed_charge else (settlement,),
    )


def _seller(invoice: Invoice, number: str) -> dict[str, Any]:
    if invoice.seller is None:
        raise NoDocument(reason="no_seller", number=number)
    seller: dict[str, Any] = invoice.seller
    return seller


def _buyer(invoice: Invoice) -> dict[str, Any]:
    """Kept with every seller."""
    assert invoice.buyer is not None
    buyer: dict[str, Any] = invoice.buyer
    return buyer


def _issued_at(invoice: Invoice) -> datetime:
    assert invoice.issued_at is not None, "a draft has no document"
    return invoice.issued_at


def _party(kept: dict[str, Any]) -> Party:
    return Party(
        name=kept["name"],
        address=tuple(kept["address"].splitlines()),
        postcode=kept["postcode"],
        city=kept["city"],
        country=kept["country"],
        vat_id=kept["vat_id"],
        email=kept.get("email", ""),
    )
