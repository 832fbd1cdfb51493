"""The file: PDF/A-3b with the XML in it, as Factur-X asks. The same document gives the same bytes, at any time."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from billing.documents.document import Document, cleaned
from ratelimit.process_state import remember

if TYPE_CHECKING:
    from billing.documents.page import Pages

MEDIA_TYPE: Final = "application/pdf"
PRODUCER: Final = "fpdf2"
NAMESPACE: Final = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
_making = remember(__name__, "_making", threading.Lock)


def pdf_of(document: Document) -> bytes:
    """The document as a PDF. No XML is in one whose currency EN 16931 cannot express.

    One is made at a time in a process, so that metered calls keep their share of it; the latest are remembered.
    """
    with _making:
        return _made(document)


@lru_cache(64)
def _made(document: Document) -> bytes:
    # Only here: the libraries take 1.2 s and 40 MB of each process that loads them.
    from billing.documents import en16931
    from billing.documents.page import Pages

    pages = Pages(document)
    about = _about(document)
    if en16931.can_express(document):
        pages.embed_file(
            bytes=en16931.xml_of(document),
            basename=en16931.FILE_NAME,
            mime_type="text/xml",
            modification_date=_issued(document),
            creation_date=_issued(document),
            associated_file_relationship="Alternative",
            desc="The invoice as EN 16931 has it (Factur-X)",
            compress=True,
        )
        about |= {
            "urn": NAMESPACE,
            "documenttype": "INVOICE",
            "xml_filename": en16931.FILE_NAME,
            "version": "1.0",
            "xmp_level": en16931.LEVEL,
        }
    _describe(pages, document, about)
    return bytes(pages.output())


def _issued(document: Document) -> datetime:
    return document.issued_at.astimezone(UTC).replace(microsecond=0)


def _about(document: Document) -> dict[str, str]:
    title = f"{document.kind.value} {document.number}"
    return {
        "pdfa3_flavor": "B",
        "title": title,
        "author": cleaned(document.seller.name),
        "subject": title,
        "producer": PRODUCER,
        "creator_tool": PRODUCER,
        "timestamp": _issued(document).isoformat(),
    }


def _describe(pages: Pages, document: Document, about: dict[str, str]) -> None:
    """PDF/A has this in its metadata alone, in XML."""
    from facturx.facturx import generate_xmp_object
    from lxml import etree

    pages.set_creation_date(_issued(document))
    pages.set_title(about["title"])
    pages.set_lang("en")
    pages.set_xmp_metadata(etree.tostring(generate_xmp_object(about), encoding="unicode", pretty_print=True))
