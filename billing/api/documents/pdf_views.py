"""Invoices and credit notes as PDF files."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.cache import get_conditional_response
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.settings import api_settings

from billing.api.domain_problems import as_problems
from billing.documents import issued, pdf
from billing.documents.document import Document
from billing.http.json import ApiJSONRenderer
from billing.http.openapi import problem
from billing.http.views import ApiView, account_of
from billing.models import CreditNote, Invoice

ETAG = OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="The ETag of one that you have.")
ANSWERS: Any = {(200, pdf.MEDIA_TYPE): OpenApiTypes.BINARY, 304: None} | problem(409, "no_document")


def number_of(example: str) -> OpenApiParameter:
    return OpenApiParameter("number", str, OpenApiParameter.PATH, description=f"Such as `{example}`.")


class FileRenderer(ApiJSONRenderer):
    """Lets a client ask for a PDF. The view makes the file; a problem in its place is JSON."""

    media_type = pdf.MEDIA_TYPE


class PdfView(ApiView):
    renderer_classes = (FileRenderer, *cast(Any, api_settings.DEFAULT_RENDERER_CLASSES))


def as_file(request: HttpRequest, document: Document) -> HttpResponse:
    """The PDF as a download of its number; 304 without it for a client that has it."""
    content = pdf.pdf_of(document)
    etag = f'"{sha256(content).hexdigest()}"'
    response = HttpResponse(
        content,
        content_type=pdf.MEDIA_TYPE,
        headers={"Content-Disposition": f'attachment; filename="{document.number}.pdf"', "ETag": etag},
    )
    return cast(HttpResponse, get_conditional_response(request, etag=etag, response=response))


class InvoicePdf(PdfView):
    """One of your invoices as a PDF, with the same as XML in it (EN 16931, Factur-X). It stays as it was issued."""

    @extend_schema("getInvoicePdf", parameters=[number_of("INV-000042"), ETAG], responses=ANSWERS)
    def get(self, request: Request, number: str, **_: Any) -> HttpResponse:
        invoice = get_object_or_404(Invoice.objects.issued(), account=account_of(request), number=number)
        with as_problems():
            if invoice.status == Invoice.Status.VOID:
                raise issued.NoDocument(reason="void", number=number)
            return as_file(request._request, issued.of_invoice(invoice))


class CreditNotePdf(PdfView):
    """One of your credit notes as a PDF, with the same as XML in it (EN 16931, Factur-X)."""

    @extend_schema("getCreditNotePdf", parameters=[number_of("CN-000007"), ETAG], responses=ANSWERS)
    def get(self, request: Request, number: str, **_: Any) -> HttpResponse:
        notes = CreditNote.objects.select_related("invoice")
        note = get_object_or_404(notes, account=account_of(request), number=number)
        with as_problems():
            return as_file(request._request, issued.of_credit_note(note))
