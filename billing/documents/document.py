"""What a document shows: an invoice or a credit note as it was issued. Neither Django nor a format is known here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum

from billing.rules.tax import Category, TaxSum, Treatment

NOTHING = Decimal(0)
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class Kind(Enum):
    INVOICE = "Invoice"
    CREDIT_NOTE = "Credit note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """Who sells or buys, as at the issue."""

    name: str
    address: tuple[str, ...] = ()
    """Lines above the city."""
    postcode: str = ""
    city: str = ""
    country: str = ""
    """ISO 3166-1, two letters."""
    vat_id: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line that was billed or credited."""

    description: str
    amount: Decimal
    """As the ledger has it: with tax where the treatment includes it. Below zero for a credit."""
    treatment: Treatment
    first: date | None = None
    last: date | None = None
    """The days it is for, both included; none on a credit note."""


@dataclass(frozen=True, slots=True)
class Payment:
    """How an invoice is to be paid."""

    days: int
    iban: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """An earlier document."""

    number: str
    issued_on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """As it was issued; what was paid or credited later is not on it, so it never changes."""

    kind: Kind
    number: str
    issued_at: datetime
    currency: str
    seller: Party
    buyer: Party
    rows: tuple[Row, ...]
    taxes: tuple[TaxSum, ...]
    """What the rows of each treatment come to."""
    balance_used: Decimal = NOTHING
    """Below zero: what was owed before and is to be paid with it."""
    due_on: date | None = None
    payment: Payment | None = None
    credits: Reference | None = None
    """The invoice that a credit note takes something off."""
    notes: tuple[str, ...] = ()

    @property
    def net(self) -> Decimal:
        return sum((each.net for each in self.taxes), NOTHING)

    @property
    def tax(self) -> Decimal:
        return sum((each.tax for each in self.taxes), NOTHING)

    @property
    def gross(self) -> Decimal:
        return self.net + self.tax

    @property
    def due(self) -> Decimal:
        """What was to be paid when it was issued; below zero what was credited to the customer."""
        return self.gross - self.balance_used

    @property
    def bears_tax(self) -> bool:
        """Whether there is anything to say about tax: not where none was known for any row."""
        return any(each.treatment.category != Category.OUTSIDE for each in self.taxes)


def last_day(start: datetime, end: datetime) -> date:
    """The last day of a half-open time; the first one of a time that is empty."""
    return max(end - timedelta(microseconds=1), start).date()


def cleaned(text: str) -> str:
    """The text without what XML cannot hold."""
    return _NOT_IN_XML.sub(" ", text).strip()
