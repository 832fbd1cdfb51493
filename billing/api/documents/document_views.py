"""What a customer is billed and credited: invoices and credit notes."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.documents.document_serializers import CreditNoteSerializer, InvoiceSerializer
from billing.http.pagination import NewestFirst
from billing.http.views import ApiView, OwnList, account_of
from billing.models import CreditNote, Invoice


class DocumentPages(NewestFirst):
    ordering = ("-issued_at", "-pk")


def issued_to(account: int) -> QuerySet[Invoice]:
    """The account's invoices, with all that belongs to them."""
    invoices = Invoice.objects.issued().filter(account=account)
    return invoices.prefetch_related("lines", "taxes", "payments", "credit_notes")


def noted_for(account: int) -> QuerySet[CreditNote]:
    """The account's credit notes, with their taxes."""
    return CreditNote.objects.filter(account=account).select_related("invoice").prefetch_related("taxes__of")


@extend_schema_view(get=extend_schema("listInvoices"))
class InvoiceList(OwnList):
    """Your invoices."""

    model = Invoice
    serializer_class = InvoiceSerializer
    pagination_class = DocumentPages

    def rows_of(self, account: int) -> QuerySet[Invoice]:
        return issued_to(account)


class InvoiceDetail(ApiView):
    """One of your invoices."""

    @extend_schema(
        "getInvoice",
        parameters=[OpenApiParameter("number", str, OpenApiParameter.PATH, description="Such as `INV-000042`.")],
        responses=InvoiceSerializer,
    )
    def get(self, request: Request, number: str, **_: Any) -> Response:
        invoice = get_object_or_404(issued_to(account_of(request)), number=number)
        return Response(InvoiceSerializer(invoice, context={"request": request}).data)


@extend_schema_view(get=extend_schema("listCreditNotes"))
class CreditNoteList(OwnList):
    """Your credit notes."""

    model = CreditNote
    serializer_class = CreditNoteSerializer
    pagination_class = DocumentPages

    def rows_of(self, account: int) -> QuerySet[CreditNote]:
        return noted_for(account)


class CreditNoteDetail(ApiView):
    """One of your credit notes."""

    @extend_schema(
        "getCreditNote",
        parameters=[OpenApiParameter("number", str, OpenApiParameter.PATH, description="Such as `CN-000007`.")],
        responses=CreditNoteSerializer,
    )
    def get(self, request: Request, number: str, **_: Any) -> Response:
        note = get_object_or_404(noted_for(account_of(request)), number=number)
        return Response(CreditNoteSerializer(note, context={"request": request}).data)
