"""Documents as tests make them, and as hypothesis does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from billing.documents.document import Document, Kind, Party, Payment, Reference, Row
from billing.rules.money import from_minor
from billing.rules.tax import UNTAXED, Category, TaxSum, Treatment, tax_sums

SELLER = Party(
    name="Ledger GmbH",
    address=("Torstraße 140",),
    postcode="10119",
    city="Berlin",
    country="DE",
    vat_id="DE136695976",
    email="billing@ledger.example",
)
BUYER = Party(
    name="Société Électrique S.A.S.",
    address=("12 bis, avenue des Champs-Élysées", "Bâtiment C", "3e étage", "Porte 4"),
    postcode="75008",
    city="Paris",
    country="FR",
    vat_id="FR40303265045",
)
VAT = Treatment(Category.STANDARD, Decimal("19.0000"), "DE", "VAT")
WITHIN = Treatment(Category.STANDARD, Decimal("19.0000"), "DE", "VAT", True)
REDUCED = Treatment(Category.STANDARD, Decimal("7.0000"), "DE", "VAT")
FRENCH = Treatment(Category.STANDARD, Decimal("20.0000"), "FR", "TVA")
MONEGASQUE = Treatment(Category.STANDARD, Decimal("20.0000"), "MC", "TVA")
ZERO = Treatment(Category.ZERO, Decimal(0), "DE", "VAT")
REVERSED = Treatment(Category.REVERSE_CHARGE, Decimal(0), "FR", "VAT")
TREATMENTS = (VAT, WITHIN, REDUCED, FRENCH, MONEGASQUE, ZERO, REVERSED, UNTAXED)
OCTOBER, DAY = date(2025, 10, 16), timedelta(days=1)


def row(amount: Any, treatment: Treatment = VAT, description: str = "Pro", days: int = 15) -> Row:
    return Row(description, Decimal(amount), treatment, OCTOBER, OCTOBER + (days - 1) * DAY)


def invoice(*rows: Row, currency: str = "EUR", **about: Any) -> Document:
    facts = {
        "kind": Kind.INVOICE,
        "number": "INV-000042",
        "issued_at": datetime(2025, 10, 16, 9, 30, tzinfo=UTC),
        "seller": SELLER,
        "buyer": BUYER,
        "due_on": date(2025, 10, 30),
        "payment": Payment(14, "DE89370400440532013000", "By bank transfer, please."),
    }
    return Document(**facts | {"currency": currency, "rows": rows, "taxes": taxes_of(rows, currency)} | about)


def credit_note(*rows: Row, **about: Any) -> Document:
    facts = {"kind": Kind.CREDIT_NOTE, "number": "CN-000007", "credits": Reference("INV-000042", OCTOBER)}
    return invoice(*rows, **facts | {"payment": None, "due_on": None} | about)


def taxes_of(rows: Sequence[Row], currency: str) -> tuple[TaxSum, ...]:
    return tax_sums([(each.treatment, each.amount) for each in rows], currency)


EVERY_SCRIPT = "Ωμέγα Компания 株式会社 한국 שלום العالم हिन्दी ไทย"
SEVERAL = [
    invoice(row("49.00"), row("-14.50", REDUCED), balance_used=Decimal("20.00"), notes=("A note",)),
    invoice(*(row(f"{number}.00", description=f"Line {number}") for number in range(60))),
    invoice(row("1.00"), buyer=replace(BUYER, name=EVERY_SCRIPT)),
    credit_note(row("10.00")),
]


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """An invoice or a credit note with any taxes, discounts and balance."""
    currency = draw(st.sampled_from(["EUR", "USD", "JPY"]))
    # Few treatments, so that rows share one; amounts around 0, where rounding shows, and large ones.
    treatments = draw(st.lists(st.sampled_from(TREATMENTS), min_size=1, max_size=3))
    minor = st.integers(-300, 300) | st.integers(-(10**9), 10**9)
    rows = [
        row(from_minor(draw(minor), currency), draw(st.sampled_from(treatments)), days=draw(st.integers(1, 31)))
        for _ in range(draw(st.integers(1, 8)))
    ]
    if draw(st.booleans()):
        return credit_note(*rows, currency=currency)
    made = invoice(*rows, currency=currency)
    share = draw(st.sampled_from([-1, 0, 1, 2])) * max(made.gross, Decimal(0)) / 2
    return invoice(*rows, currency=currency, balance_used=from_minor(int(share * 10 ** _decimals(currency)), currency))


def _decimals(currency: str) -> int:
    return 0 if currency == "JPY" else 2
