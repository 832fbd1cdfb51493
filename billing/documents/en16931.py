"""A document as the XML of EN 16931 (the Factur-X profile of that name): its business terms, written by `facturx`."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from facturx.generate_xml import generate_cii_xml

from billing.documents.document import NOTHING, Document, Kind, Party, Row, cleaned
from billing.rules.money import in_currency, minor_units
from billing.rules.tax import Category, Treatment

FILE_NAME: Final = "factur-x.xml"
PROFILE: Final = "en16931"
LEVEL: Final = "EN 16931"
"""The profile's name in the PDF's metadata."""
TYPES: Final = {Kind.INVOICE: "380", Kind.CREDIT_NOTE: "381"}
"""UNTDID 1001."""
PIECE: Final = "C62"
SEPA_TRANSFER, TRANSFER, AS_AGREED = "58", "30", "1"
"""UNTDID 4461."""
REVERSE_CHARGE_REASON: Final = "VATEX-EU-AE"
EXEMPT: Final = "E"
NOT_TAXED: Final = "Not subject to VAT"
NAMELESS: Final = "-"
MOST_DECIMALS: Final = 2
_NIL, _EMPTY = b'<ram:ApplicableHeaderTradeDelivery xsi:nil="true"/>', b"<ram:ApplicableHeaderTradeDelivery/>"
"""What `facturx` writes for the one empty element that there has to be; the XSD does not let it be nil."""


def can_express(document: Document) -> bool:
    """Whether EN 16931 can say it: its amounts have two decimals at most, and a dinar has three."""
    return minor_units(document.currency) <= MOST_DECIMALS


def xml_of(document: Document) -> bytes:
    """The XML, the same bytes each time; valid against the official XSD."""
    made: bytes = generate_cii_xml(terms(document), level=PROFILE, check_xsd=False, check_schematron=None)
    return made.replace(_NIL, _EMPTY)


def terms(document: Document) -> dict[str, Any]:
    """The business terms (BT) and groups (BG) of EN 16931 that the document has, by their ids."""
    earlier = document.credits
    found = {
        "BT-1": document.number,
        "BT-2": document.issued_at.date(),
        "BT-3": TYPES[document.kind],
        "BT-5": document.currency,
        "BT-9": document.due_on if document.due > 0 else None,
        "BT-20": _payment_terms(document),
        "BG-1": [{"BT-22": cleaned(note)} for note in document.notes],
        "BG-3": [{"BT-25": earlier.number, "BT-26": earlier.issued_on}] if earlier else [],
        "BG-4": _party(document.seller, document),
        "BG-7": _party(document.buyer, document),
        "BT-73": min((row.first for row in document.rows if row.first), default=None),
        "BT-74": max((row.last for row in document.rows if row.last), default=None),
        "BG-23": _tax_breakdown(document),
        "BG-25": [
            _line(number, row, net, document)
            for number, (row, net) in enumerate(zip(document.rows, net_amounts(document), strict=True), start=1)
        ],
        "BT-106": document.net,
        "BT-109": document.net,
        "BT-110": document.tax,
        "BT-112": document.gross,
        "BT-113": document.balance_used or None,
        "BT-115": document.due,
    }
    given: dict[str, Any] = _given(found | _means_of_payment(document), document.currency)
    return given


def net_amounts(document: Document) -> list[Decimal]:
    """The rows' amounts without tax, which add up to the net of each treatment to the minor unit.

    Where they include the tax, each is the difference of two rounded running totals; the last is what is left.
    """
    net = {each.treatment: each.net for each in document.taxes}
    last = {row.treatment: number for number, row in enumerate(document.rows)}
    gross_before, net_before = dict.fromkeys(net, NOTHING), dict.fromkeys(net, NOTHING)
    amounts = []
    for number, row in enumerate(document.rows):
        if not row.treatment.included:
            amounts.append(row.amount)
            continue
        gross = gross_before[row.treatment] + row.amount
        running = net[row.treatment]
        if number != last[row.treatment]:
            running = gross - row.treatment.tax_on(gross, document.currency)
        amounts.append(running - net_before[row.treatment])
        gross_before[row.treatment], net_before[row.treatment] = gross, running
    return amounts


def _category(treatment: Treatment, document: Document) -> str:
    """What is not taxed is O where nothing else is on the document, as the norm wants; else it is exempt."""
    if treatment.category == Category.OUTSIDE and document.bears_tax:
        return EXEMPT
    return str(treatment.category)


def _tax_breakdown(document: Document) -> list[dict[str, Any]]:
    """One for each category and percent."""
    sums: dict[tuple[str, Decimal], tuple[Decimal, Decimal]] = {}
    for each in document.taxes:
        key = (_category(each.treatment, document), each.treatment.percent)
        net, tax = sums.get(key, (NOTHING, NOTHING))
        sums[key] = (net + each.net, tax + each.tax)
    return [
        {
            "BT-116": net,
            "BT-117": tax,
            "BT-118": category,
            "BT-119": _percent(category, percent),
            "BT-120": NOT_TAXED if category in (EXEMPT, Category.OUTSIDE) else None,
            "BT-121": REVERSE_CHARGE_REASON if category == Category.REVERSE_CHARGE else None,
        }
        for (category, percent), (net, tax) in sums.items()
    ]


def _line(number: int, row: Row, net: Decimal, document: Document) -> dict[str, Any]:
    """A credit is a negative quantity, since a price may not be negative."""
    category = _category(row.treatment, document)
    return {
        "BT-126": str(number),
        "BT-129": "-1" if net < 0 else "1",
        "BT-130": PIECE,
        "BT-131": net,
        "BT-134": row.first,
        "BT-135": row.last,
        "BT-146": abs(net),
        "BT-151": category,
        "BT-152": _percent(category, row.treatment.percent),
        "BT-153": cleaned(row.description) or NAMELESS,
    }


def _percent(category: str, percent: Decimal) -> str | None:
    """What is outside of the tax has no rate, not even 0."""
    return None if category == Category.OUTSIDE else f"{percent.normalize():f}"


def _party(party: Party, document: Document) -> dict[str, Any]:
    """A document of category O names no VAT number, as the norm wants; the seller is known by it all the same."""
    number = vat_identifier(party)
    one, two, three = _three_lines(party.address)
    about = {
        "name": cleaned(party.name) or NAMELESS,
        "addr_l1": one,
        "addr_l2": two,
        "addr_l3": three,
        "postcode": cleaned(party.postcode),
        "city": cleaned(party.city),
        "country_code": party.country or document.seller.country,
    }
    if document.bears_tax:
        return about | {"vat_identifier": number}
    known_by = number or party.email
    return about | {"identifiers": {None: known_by} if known_by and party is document.seller else None}


def vat_identifier(party: Party) -> str:
    """The VAT number with its country before it, as EN 16931 wants every country's; "" where there is none."""
    prefix = "EL" if party.country == "GR" else party.country
    return party.vat_id if not party.vat_id or party.vat_id.startswith(prefix) else prefix + party.vat_id


def _three_lines(lines: tuple[str, ...]) -> tuple[str, str, str]:
    """An address in as many lines as the norm has; what is beyond them stands in the last one."""
    one, two, *rest = (*(cleaned(line) for line in lines), "", "")
    return one, two, ", ".join(line for line in rest if line)


def _payment_terms(document: Document) -> str:
    """Needed wherever an amount is due, as it is on a credit note."""
    if document.due <= 0:
        return ""
    if document.payment is None:
        return "Settled with invoices."
    return f"Payable within {document.payment.days} days."


def _means_of_payment(document: Document) -> dict[str, Any]:
    if document.payment is None or document.due <= 0:
        return {}
    text, iban = cleaned(document.payment.text), document.payment.iban
    if not (text or iban):
        return {}
    transfer = SEPA_TRANSFER if document.currency == "EUR" else TRANSFER
    return {
        "BT-81": transfer if iban else AS_AGREED,
        "BT-82": text,
        "BT-83": document.number,
        "BT-84": iban,
        "BT-85": cleaned(document.seller.name) if iban else "",
    }


def _given(value: Any, currency: str) -> Any:
    """Terms as `facturx` takes them: amounts as text with the currency's decimals, and none that are empty."""
    if isinstance(value, Decimal):
        return str(in_currency(value, currency))
    if isinstance(value, list):
        return [_given(each, currency) for each in value]
    if isinstance(value, dict):
        return {key: _given(each, currency) for key, each in value.items() if each not in (None, "", [])}
    return value
