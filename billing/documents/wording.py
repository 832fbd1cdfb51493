"""How a document words its facts: dates, amounts, taxes, parties. English, as all of the product."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Final

from billing.documents.document import NOTHING, Document, Kind, Party, Row
from billing.documents.fonts import shown
from billing.rules.money import in_currency
from billing.rules.tax import Category, TaxSum, Treatment

MONTHS: Final = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
"""Not by strftime, which depends on the process' locale."""
NAMED: Final = {Category.REVERSE_CHARGE: "Reverse charge", Category.OUTSIDE: "Not taxed"}
"""Categories that no rate describes."""


def day(of: date) -> str:
    """Such as 16 Oct 2025, which no country reads as another day."""
    return f"{of.day} {MONTHS[of.month - 1]} {of.year}"


def days(row: Row) -> str:
    """The time a row is for; "" of one that is for none."""
    if row.first is None or row.last is None:
        return ""
    return day(row.first) if row.first == row.last else f"{day(row.first)} – {day(row.last)}"


def figure(amount: Decimal, currency: str) -> str:
    """Such as -1,234.50."""
    return f"{in_currency(amount, currency):,}"


def amount(of: Decimal, currency: str) -> str:
    return f"{figure(of, currency)} {currency}"


def tax_label(treatment: Treatment) -> str:
    """Such as VAT 19 %, or incl. VAT 19 % where the amounts contain it."""
    label = NAMED.get(treatment.category) or shown(treatment.label())
    return f"incl. {label}" if treatment.included else label


def party_lines(party: Party) -> list[str]:
    """Address, country, VAT number and e-mail; the name is apart."""
    town = " ".join(part for part in (shown(party.postcode), shown(party.city)) if part)
    place = ", ".join(part for part in (town, party.country) if part)
    vat = f"VAT no. {shown(party.vat_id)}" if party.vat_id else ""
    lines = [*map(shown, party.address), place, vat, shown(party.email)]
    return [line for line in lines if line]


def headline(document: Document) -> str:
    """What it comes to, in one line."""
    due = document.due
    if document.kind is Kind.CREDIT_NOTE:
        return f"{amount(document.gross, document.currency)} credited"
    if due < 0:
        return f"{amount(-due, document.currency)} credited to your account"
    if due == 0:
        return "Nothing to pay"
    by = f" due by {day(document.due_on)}" if document.due_on else " due"
    return amount(due, document.currency) + by


def sums(document: Document) -> Iterator[tuple[str, str, bool]]:
    """The rows under the lines: what, how much, whether it stands out. They add up from the lines as these are."""
    money = document.currency
    on_top = [each for each in document.taxes if not each.treatment.included] if document.bears_tax else []
    if on_top:
        yield "Subtotal", figure(sum((row.amount for row in document.rows), NOTHING), money), False
        yield from ((_on(each, money), figure(each.tax, money), False) for each in on_top)
    yield f"Total ({money})", figure(document.gross, money), True
    within = [each for each in document.taxes if each.treatment.included]
    yield from ((_on(each, money), figure(each.tax, money), False) for each in within)
    if document.balance_used:
        label = "Balance used" if document.balance_used > 0 else "Owed of a payment that was taken back"
        yield label, figure(-document.balance_used, money), False
    if document.kind is Kind.INVOICE:
        label = "Amount due" if document.due >= 0 else "Credited to your account"
        yield f"{label} ({money})", figure(abs(document.due), money), True


def _on(each: TaxSum, currency: str) -> str:
    return f"{tax_label(each.treatment)} on {figure(each.net, currency)}"


def how_to_pay(document: Document) -> list[str]:
    """Nothing where nothing is to be paid."""
    payment = document.payment
    if payment is None or document.due <= 0 or document.kind is not Kind.INVOICE:
        return []
    iban = " ".join(payment.iban[start : start + 4] for start in range(0, len(payment.iban), 4))
    lines = [f"IBAN {iban}" if iban else "", shown(payment.text), f"Please give the reference {document.number}."]
    return [line for line in lines if line]


def texts(document: Document) -> Iterator[str]:
    """All that users have typed, as it is shown: what decides which fonts are needed."""
    for party in (document.seller, document.buyer):
        yield shown(party.name)
        yield from party_lines(party)
    yield from (shown(row.description) for row in document.rows)
    yield from (tax_label(each.treatment) for each in document.taxes)
    yield from how_to_pay(document)
    yield from map(shown, document.notes)
