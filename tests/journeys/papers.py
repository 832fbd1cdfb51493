"""A table of documents, and each of them looked at: its JSON, its PDF, the XML in it, and the admin's page."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import facturx

from billing.documents.wording import day
from billing.models import CreditNote, Invoice
from tests.billing.documents.sold import said, text_of, xml_of
from tests.billing.staff import text_of as page_of
from tests.cast import Customer, Staff

Line = tuple[str, Decimal, str | None, str | None]
"""What, how much, from when, until when."""
BILLING = "/api/v1/billing/"
HEAD = re.compile(r"(?P<number>(INV|CN)-\d+) +(?P<day>\S+) +")
LINE = re.compile(r"(?P<text>\S.*?) +(?P<amount>-?\d+\.\d\d)( +(?P<start>\S+) (?P<end>\S+))?$")
SUMS = re.compile(r"= net (\S+), tax (\S+), gross (\S+), due (\S+)")


@dataclass
class Paper:
    """One document of the table."""

    number: str
    day: str
    lines: list[Line] = field(default_factory=list)
    net: Decimal = Decimal(0)
    tax: Decimal = Decimal(0)
    gross: Decimal = Decimal(0)
    due: Decimal = Decimal(0)
    """When it was issued, so without what is paid later."""

    @property
    def is_note(self) -> bool:
        return self.number.startswith("CN")

    @property
    def sold(self) -> list[Line]:
        """Without what is told apart on documents: the tax and a balance that is used."""
        return [line for line in self.lines if not re.match("VAT |Balance ", line[0])]


def read(table: str) -> dict[str, Paper]:
    """The papers of a table, by number. A paper is its lines, and then a line of its sums."""
    papers: dict[str, Paper] = {}
    for line_of_it in table.splitlines():
        row = line_of_it.strip()
        if head := HEAD.match(row):
            paper = papers[head["number"]] = Paper(head["number"], head["day"])
            row = row[head.end() :]
        if sums := SUMS.fullmatch(row):
            paper.net, paper.tax, paper.gross, paper.due = map(Decimal, sums.groups())
        elif papers and (line := LINE.fullmatch(row)):
            paper.lines.append((line["text"], Decimal(line["amount"]), line["start"], line["end"]))
    return papers


def look_at(paper: Paper, customer: Customer, staff: Staff) -> bytes:
    """AssertionError where the document is not as the table has it; its PDF."""
    address = f"{BILLING}{'credit-notes' if paper.is_note else 'invoices'}/{paper.number}"
    body = customer.api.get(address).json()
    assert (shown := _as_json(body, paper)) == paper, shown
    text = page_of(_staffs(staff, paper.number, "change"))
    for amount in (*(amount for _, amount, *_ in paper.lines), paper.gross):
        assert f"{amount} EUR" in text, (paper.number, amount)
    file: bytes = customer.api.get(f"{address}/pdf").content
    assert staffs_file(staff, paper.number) == file
    _look_at_pdf(paper, body, "".join(text_of(file).split()))
    _look_at_xml(paper, body, xml_of(file))
    return file


def staffs_file(staff: Staff, number: str) -> bytes:
    """The PDF that the button on the admin's page gives."""
    file: bytes = _staffs(staff, number, "pdf").content
    return file


def _staffs(staff: Staff, number: str, page: str) -> Any:
    model = CreditNote if number.startswith("CN") else Invoice
    return staff.open(f"billing/{model._meta.model_name}/{model.objects.get(number=number).pk}/{page}/")


def _as_json(body: dict[str, Any], paper: Paper) -> Paper:
    def money(name: str) -> Decimal:
        return Decimal(f"{body[name]:.2f}")

    if paper.is_note:
        lines: list[Line] = [(body["reason"], money("net"), None, None)]
        return Paper(body["number"], body["issued_at"][:10], lines, money("net"), money("tax"), *[money("amount")] * 2)
    lines = [
        (row["description"], Decimal(f"{row['amount']:.2f}"), row["period_start"][:10], row["period_end"][:10])
        for row in body["lines"]
    ]
    sums = map(money, ("net", "tax", "gross", "amount_due"))
    assert sum((amount for _, amount, *_ in lines), Decimal(0)) == money("total")
    for name in ("net", "tax"):
        assert f"{sum(tax[name] for tax in body['taxes']):.2f}" == f"{body[name]:.2f}"
    return Paper(body["number"], body["issued_at"][:10], lines, *sums)


def _look_at_pdf(paper: Paper, body: dict[str, Any], text: str) -> None:
    """`text` is without spaces, as lines break where they like."""
    parts = [paper.number, f"Total(EUR){paper.gross:,}"]
    for line, amount, *times in paper.sold:
        parts += ["".join(line.split()), f"{amount:,}"]
        parts += ["".join(day(date.fromisoformat(time)).split()) for time in times if time]
    parts += [f"{tax['net']:,.2f}{tax['tax']:,.2f}" for tax in body["taxes"] if tax["tax"]]
    if not paper.is_note:
        parts += [f"Amountdue(EUR){paper.due:,}", body["buyer"]["name"], body["buyer"]["vat_id"]]
        if body["reverse_charge"]:
            parts.append("Reversecharge")
    for part in parts:
        assert part in text, (paper.number, part, text)


def _look_at_xml(paper: Paper, body: dict[str, Any], xml: Any) -> None:
    def amounts(path: str) -> list[Decimal]:
        return [Decimal(text) for text in said(xml, path)]

    assert facturx.xml_check_xsd(xml, flavor="factur-x", level="en16931")
    assert said(xml, "rsm:ExchangedDocument/ID") == [paper.number]
    assert said(xml, "IncludedSupplyChainTradeLineItem/SpecifiedTradeProduct/Name") == [text for text, *_ in paper.sold]
    assert amounts("SpecifiedTradeSettlementLineMonetarySummation/LineTotalAmount") == [a for _, a, *_ in paper.sold]
    for name, at in (("Start", 2), ("End", 3)):
        times = [str(line[at]).replace("-", "") for line in paper.sold if line[at]]
        period = f"SpecifiedLineTradeSettlement/BillingSpecifiedPeriod/{name}DateTime"
        assert said(xml, f"{period}/udt:DateTimeString") == times, paper.number
    sums = "SpecifiedTradeSettlementHeaderMonetarySummation/"
    assert amounts(f"{sums}TaxBasisTotalAmount") == [paper.net]
    assert amounts(f"{sums}TaxTotalAmount") == [paper.tax]
    assert amounts(f"{sums}GrandTotalAmount") == [paper.gross]
    assert amounts(f"{sums}DuePayableAmount") == [paper.due]
    taxes = "ApplicableHeaderTradeSettlement/ApplicableTradeTax/"
    assert said(xml, f"{taxes}CategoryCode") == [tax["category"] for tax in body["taxes"]]
    assert amounts(f"{taxes}CalculatedAmount") == [Decimal(f"{tax['tax']:.2f}") for tax in body["taxes"]]
