"""The button on an invoice's and a credit note's page that gives its PDF."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from billing.admin.action_pages import ActionPages, page_action
from billing.admin.base import M
from billing.api.documents.pdf_views import as_file
from billing.api.sentences import to_staff
from billing.documents.document import Document
from billing.documents.issued import NoDocument


class DocumentFile(ActionPages[M]):
    """Needs `document_of`. A row that has none leads back to its page, which says what is missing."""

    def document_of(self, row: M) -> Document:
        """Raises NoDocument."""
        raise NotImplementedError

    def has_document_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.has_view_permission(request)

    @page_action("PDF", permission="document", icon="picture_as_pdf")
    def pdf(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.existing(request, object_id)
        try:
            return as_file(request, self.document_of(row))
        except NoDocument as refusal:
            return self.back(request, row, to_staff(refusal), messages.ERROR)
