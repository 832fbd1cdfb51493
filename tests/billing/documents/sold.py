"""A seller, buyers and rates, and what is read out of a PDF."""

from __future__ import annotations

import io
from typing import Any

from lxml import etree
from pypdf import PdfReader

from billing.documents import pdf
from billing.models import BillingDetails, Seller
from tests.factories import make_rate

IBAN = "DE89370400440532013000"
NAMES = {
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
}


def make_seller(**fields: Any) -> Seller:
    """In Berlin, with a VAT number, at 19 %."""
    about = {"name": "Ledger GmbH", "address": "Torstraße 140", "postcode": "10119", "city": "Berlin", "country": "DE"}
    about |= {"vat_id": "DE136695976", "email": "billing@ledger.example", "iban": IBAN}
    make_rate("DE", 19)
    return Seller.objects.create(**about | fields)


def make_buyer(user: Any, country: str = "DE", **fields: Any) -> BillingDetails:
    about = {"name": "Müller & Söhne", "address": "Marktplatz 1\n2. Stock", "postcode": "80331", "city": "München"}
    details = BillingDetails(account=user, country=country, **about | fields)
    details.save()
    return details


def made_anew() -> None:
    """Forget the documents that were made, as another process has made none."""
    pdf._made.cache_clear()


def pages_of(content: bytes) -> list[str]:
    """The text of each page."""
    return [page.extract_text() for page in PdfReader(io.BytesIO(content)).pages]


def text_of(content: bytes) -> str:
    return "\n".join(pages_of(content))


def xml_of(content: bytes) -> Any:
    """The XML within it; None where there is none."""
    attached = PdfReader(io.BytesIO(content)).attachments
    return etree.fromstring(attached["factur-x.xml"][0]) if attached else None


def said(xml: Any, path: str) -> list[str]:
    """The texts of all `ram:` elements with this path from anywhere, such as `SellerTradeParty/Name`."""
    steps = "/".join(step if ":" in step else f"ram:{step}" for step in path.split("/"))
    return [str(element.text) for element in xml.findall(f".//{steps}", NAMES)]
