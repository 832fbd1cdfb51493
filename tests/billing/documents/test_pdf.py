"""The file: the same bytes each time, PDF/A-3 with the XML in it, and a page that says all of it."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader

from billing.documents.document import Document, Party
from billing.documents.en16931 import xml_of
from billing.documents.pdf import pdf_of
from billing.rules.tax import UNTAXED
from tests.billing.documents.made import BUYER, REDUCED, REVERSED, SELLER, SEVERAL, WITHIN, credit_note, invoice, row
from tests.billing.documents.sold import made_anew, pages_of, text_of
from tests.effort import examples

CHECKOUT = Path(__file__).resolve().parents[3]
PRINT_HASHES = """
import hashlib
from billing.documents.pdf import pdf_of
from tests.billing.documents.made import SEVERAL
for document in SEVERAL:
    print(hashlib.sha256(pdf_of(document)).hexdigest())
"""


def reader(document: Document) -> PdfReader:
    return PdfReader(io.BytesIO(pdf_of(document)))


def said(document: Document) -> str:
    """What can be read on its pages, in one line."""
    return " ".join(text_of(pdf_of(document)).split())


def test_the_bytes_are_the_same_in_another_process_on_another_day_in_another_place() -> None:
    elsewhere = {"PYTHONHASHSEED": "4711", "TZ": "Pacific/Auckland", "LC_ALL": "de_DE.UTF-8", "SECRET_KEY": "x"}
    others = subprocess.run(
        [sys.executable, "-c", PRINT_HASHES],
        cwd=CHECKOUT,
        env=os.environ | elsewhere,
        capture_output=True,
        text=True,
        check=True,
    )
    made_anew()
    with freeze_time("2031-02-03 04:05:06"):
        here = [hashlib.sha256(pdf_of(document)).hexdigest() for document in SEVERAL]
    assert others.stdout.split() == here


def test_it_is_pdf_a_3_with_the_xml_as_factur_x_wants_it() -> None:
    document = SEVERAL[0]
    made = reader(document)
    root: Any = made.trailer["/Root"]
    metadata = root["/Metadata"].get_data().decode()
    for fact in (
        "<pdfaid:part>3</pdfaid:part>",
        "<pdfaid:conformance>B</pdfaid:conformance>",
        "<fx:DocumentType>INVOICE</fx:DocumentType>",
        "<fx:DocumentFileName>factur-x.xml</fx:DocumentFileName>",
        "<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>",
        "Invoice INV-000042</rdf:li>",
        "<xmp:CreateDate>2025-10-16T09:30:00+00:00</xmp:CreateDate>",
    ):
        assert fact in metadata, fact
    assert made.attachments == {"factur-x.xml": [xml_of(document)]}
    (associated,) = root["/AF"]
    assert associated.get_object()["/AFRelationship"] == "/Alternative"
    assert root["/OutputIntents"][0]["/S"] == "/GTS_PDFA1"
    assert "/ID" in made.trailer


def test_every_font_is_embedded() -> None:
    for page in reader(SEVERAL[2]).pages:
        for font in page["/Resources"]["/Font"].values():  # type: ignore[index]
            (descendant,) = font.get_object()["/DescendantFonts"]
            assert "/FontFile2" in descendant.get_object()["/FontDescriptor"]


def test_a_currency_of_three_decimals_has_no_xml_but_a_page() -> None:
    document = invoice(row("1005.125"), currency="KWD")
    assert not reader(document).attachments
    assert b"factur-x.xml" not in pdf_of(document)
    assert "1,196.099 KWD due by 30 Oct 2025" in said(document)


def test_a_page_has_parties_dates_lines_tax_totals_and_the_way_to_pay() -> None:
    document = invoice(
        row("1049.00"),
        row("-14.50", REDUCED, "Unused time on Starter", days=1),
        balance_used=Decimal("20.00"),
        notes=("Thank you.",),
    )
    page = said(document)
    for part in (
        "Invoice INV-000042",
        "Ledger GmbH Torstraße 140 10119 Berlin, DE VAT no. DE136695976 billing@ledger.example",
        "Société Électrique S.A.S. 12 bis, avenue des Champs-Élysées Bâtiment C 3e étage Porte 4 75008 Paris, FR",
        "Issued 16 Oct 2025 Due 30 Oct 2025",
        "1,212.79 EUR due by 30 Oct 2025",
        "Pro 16 Oct 2025 – 30 Oct 2025 VAT 19 % 1,049.00",
        "Unused time on Starter 16 Oct 2025 VAT 7 % -14.50",
        "Subtotal 1,034.50",
        "VAT 19 % on 1,049.00 199.31",
        "VAT 7 % on -14.50 -1.02",
        "Total (EUR) 1,232.79",
        "Balance used -20.00",
        "Amount due (EUR) 1,212.79",
        "IBAN DE89 3704 0044 0532 0130 00 By bank transfer, please. Please give the reference INV-000042.",
        "Thank you.",
        "Page 1 of 1",
    ):
        assert part in page, part


@pytest.mark.parametrize(
    ("document", "parts", "absent"),
    [
        (invoice(row("0.00")), ["Nothing to pay", "Amount due (EUR) 0.00"], ["IBAN", "Due"]),
        (invoice(row("-10.00")), ["11.90 EUR credited to your account"], ["IBAN", "Amount due"]),
        (invoice(row("49.00", WITHIN)), ["Total (EUR) 49.00 incl. VAT 19 % on 41.18 7.82"], ["Subtotal"]),
        (invoice(row("99.00", REVERSED)), ["Reverse charge on 99.00 0.00"], []),
        (invoice(row("49.00", UNTAXED)), ["Total (EUR) 49.00 Amount due (EUR) 49.00"], ["Tax", "Subtotal"]),
        (invoice(row("1005"), currency="JPY"), ["1,196 JPY due", "VAT 19 % on 1,005 191"], []),
        (
            credit_note(row("10.00")),
            ["11.90 EUR credited", "Credits INV-000042 of 16 Oct 2025"],
            ["IBAN", "Amount due"],
        ),
    ],
)
def test_it_words_what_it_comes_to(document: Document, parts: list[str], absent: list[str]) -> None:
    page = said(document)
    for part in parts:
        assert part in page, part
    for part in absent:
        assert f" {part} " not in page, part


def test_many_lines_go_on_with_their_heads_and_page_numbers() -> None:
    rows = [row("1.00", description=f"Line {number} of a long description " + "word " * 20) for number in range(1, 41)]
    pages = pages_of(pdf_of(invoice(*rows)))
    assert len(pages) > 2
    for number, page in enumerate(pages, start=1):
        assert f"Page {number} of {len(pages)}" in page
    assert all("Description" in page for page in pages[:-1])
    assert all(any(f"Line {number} " in page for page in pages) for number in range(1, 41))
    assert "Amount due (EUR)" in pages[-1]


def test_a_text_of_the_page_count_stays_a_text() -> None:
    assert "{nb} �" in said(invoice(row("1.00", description="{nb} \ue000")))


def test_every_script_that_a_font_covers_is_shown_and_what_none_covers_is_marked() -> None:
    page = said(invoice(row("1.00"), buyer=replace(BUYER, name="Ωμέγα Компания 株式会社 한국", city="Łódź 😀")))
    for part in ("Ωμέγα", "Компания", "株式会社", "한국", "Łódź �"):
        assert part in page, part


def test_what_follows_a_line_that_begins_in_another_script_is_in_its_own_font() -> None:
    tokyo = Party(name="株式会社東京", address=("千代田区 1-1",), city="東京", country="JP", email="info@tokyo.example")
    riyadh = replace(BUYER, address=("شركة العالم",), city="الرياض", country="SA")
    rows = [row("1.00", description=f"東京 plan {number}") for number in range(1, 41)]
    page = said(invoice(*rows, seller=tokyo, buyer=riyadh, notes=("千代田", "A note")))
    for part in ("info@tokyo.example", "SA", "VAT no. FR40303265045", "Amount (EUR)", "How to pay", "A note"):
        assert part in page, part
    for number in range(1, 41):
        assert f"東京 plan {number} 16 Oct 2025 – 30 Oct 2025 VAT 19 % 1.00" in page, number
    assert page.count("Issued 16 Oct 2025 Due 30 Oct 2025") == 1


HOSTILE = st.text(max_size=200) | st.sampled_from(
    ["", " \x01", "\x1b[0m", "\u202eevil", "%PDF-1.7\nendobj", "(\\", "W" * 200, "\u0301" * 50]
)


@examples(8, 300)
@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_text_breaks_it(name: str, address: str, description: str) -> None:
    party = Party(name=name, address=(address,) * 3, postcode=name[:20], city=address[:100], country="DE", email=name)
    document = invoice(row("1.00", description=description), seller=party, buyer=party, notes=(description,))
    assert len(pages_of(pdf_of(document))) <= 4
    assert SELLER.name not in said(document)
