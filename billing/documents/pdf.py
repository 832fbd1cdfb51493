"""The file: PDF/A-3b with the XML in it, as Factur-X asks. The same document gives the same bytes, at any time."""

from __future__ import annotations

import threading
from datetime import UTC
from functools import lru_cache
from typing import Final

from facturx.facturx import FACTURX_LEVEL2xmp, generate_xmp_object
from lxml import etree

from billing.documents.document import Document
from billing.documents.en16931 import FILE_NAME, PROFILE, can_express, xml_of
from billing.documents.fonts import shown
from billing.documents.page import Pages
from ratelimit.process_state import remember

NAMESPACE: Final = "urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#"
PRODUCER: Final = "fpdf2"
MEDIA_TYPE: Final = "application/pdf"
_making = remember(__name__, "_making", threading.Lock)


def pdf_of(document: Document) -> bytes:
    """The document as a PDF. No XML is in one whose currency EN 16931 cannot express.

    One is made at a time in a process, so that metered calls keep their share of it; the latest are remembered.
    """
    with _making:
        return _made(document)


@lru_cache(64)
def _made(document: Document) -> bytes:
    pages = Pages(document)
    issued = document.issued_at.astimezone(UTC).replace(microsecond=0)
    title, author = f"{document.kind.value} {document.number}", shown(document.seller.name)
    pages.set_creation_date(issued)
    pages.set_title(title)
    pages.set_author(author)
    pages.set_subject(title)
    pages.set_producer(PRODUCER)
    pages.set_creator(PRODUCER)
    pages.set_lang("en")
    about = {
        "pdfa3_flavor": "B",
        "title": title,
        "author": author,
        "subject": title,
        "producer": PRODUCER,
        "creator_tool": PRODUCER,
        "timestamp": issued.isoformat(),
    }
    if can_express(document):
        pages.embed_file(
            bytes=xml_of(document),
            basename=FILE_NAME,
            mime_type="text/xml",
            modification_date=issued,
            creation_date=issued,
            associated_file_relationship="Alternative",
            desc="The invoice as EN 16931 has it (Factur-X)",
            compress=True,
        )
        about |= {
            "urn": NAMESPACE,
            "documenttype": "INVOICE",
            "xml_filename": FILE_NAME,
            "version": "1.0",
            "xmp_level": FACTURX_LEVEL2xmp[PROFILE],
        }
    pages.set_xmp_metadata(etree.tostring(generate_xmp_object(about), encoding="unicode", pretty_print=True))
    return bytes(pages.output())
