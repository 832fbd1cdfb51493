"""The rules of EN 16931 about sums, read from the XML of a document."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

import facturx
from lxml import etree

from billing.documents.document import Document
from billing.documents.en16931 import xml_of
from tests.billing.documents.sold import NAMES, said


def parsed(document: Document) -> Any:
    xml = etree.fromstring(xml_of(document))
    assert facturx.xml_check_xsd(xml, flavor="factur-x", level="en16931")
    return xml


def amounts(xml: Any, path: str) -> list[Decimal]:
    return [Decimal(text) for text in said(xml, path)]


def amount(xml: Any, path: str) -> Decimal:
    (found,) = amounts(xml, f"SpecifiedTradeSettlementHeaderMonetarySummation/{path}")
    return found


def assert_adds_up(document: Document) -> None:
    """BR-CO-10, 13 to 17, BR-S-08 and its likes, BR-27; and it is what the document says."""
    xml = parsed(document)
    nets = amounts(xml, "SpecifiedTradeSettlementLineMonetarySummation/LineTotalAmount")
    assert nets == [price * count for price, count in zip(_prices(xml), amounts(xml, "BilledQuantity"), strict=True)]
    assert min(_prices(xml)) >= 0
    assert amount(xml, "LineTotalAmount") == amount(xml, "TaxBasisTotalAmount") == sum(nets) == document.net
    breakdown = xml.findall(".//ram:ApplicableHeaderTradeSettlement/ram:ApplicableTradeTax", NAMES)
    of_lines: dict[Any, Decimal] = defaultdict(Decimal)
    for line in xml.findall(".//ram:IncludedSupplyChainTradeLineItem", NAMES):
        of_lines[_tax(line)] += amounts(line, "LineTotalAmount")[0]
    assert {_tax(each): amounts(each, "BasisAmount")[0] for each in breakdown} == dict(of_lines)
    assert sum(amounts(xml, "CalculatedAmount")) == amount(xml, "TaxTotalAmount") == document.tax
    # Each treatment is rounded once, and a credit note's part of one is the difference of two; some may share a rate.
    unit, most = (1 if document.currency == "JPY" else Decimal("0.01")), 2 * len(document.taxes)
    for each in breakdown:
        percent = (amounts(each, "RateApplicablePercent") or [Decimal(0)])[0]
        off = amounts(each, "CalculatedAmount")[0] - amounts(each, "BasisAmount")[0] * percent / 100
        assert abs(off) <= unit * most, "BR-CO-17"
    gross = amount(xml, "GrandTotalAmount")
    assert gross == document.net + document.tax == document.gross
    prepaid = sum(amounts(xml, "TotalPrepaidAmount"))
    assert amount(xml, "DuePayableAmount") == gross - prepaid == document.due
    assert document.due <= 0 or said(xml, "DueDateDateTime") or said(xml, "SpecifiedTradePaymentTerms/Description")


def _prices(xml: Any) -> list[Decimal]:
    return amounts(xml, "NetPriceProductTradePrice/ChargeAmount")


def _tax(element: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(said(element, "CategoryCode")), tuple(said(element, "RateApplicablePercent"))
