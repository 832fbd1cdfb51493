"""The mail that brings an invoice, with what is due and how to pay it."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from billing.documents import pdf
from billing.documents.issued import NoDocument, of_invoice
from billing.mails.draft import Attachment, Draft, Link, amount, day
from billing.models import Invoice, OutboxMessage, PaymentAttempt
from billing.payments.cards import methods


def issued(message: OutboxMessage) -> Draft | None:
    invoice = Invoice.objects.filter(pk=message.payload["invoice"]).first()
    if invoice is None or not invoice.is_billed:
        return None  # voided since
    due, card = invoice.due, _charged_card(invoice)
    facts = [(_("Invoice"), str(invoice)), (_("Total"), amount(invoice.total, invoice.currency))]
    if due:
        facts.append((_("Due"), amount(due, invoice.currency)))
        facts += [(_("Card"), card)] if card else _how_to_pay(invoice)
    context = {
        "number": str(invoice),
        "amount": amount(due or invoice.total, invoice.currency),
        "is_due": bool(due),
        "card": card,
        "by": day(invoice.due_at) if due and invoice.due_at else "",
        "how": (invoice.seller or {}).get("payment_text", "") if due and not card else "",
    }
    attachments = _as_pdf(invoice)
    context["attached"] = bool(attachments)
    link = Link(_("Look at the invoice"), f"/dashboard/billing/invoices/{invoice}/")
    return Draft("invoice_issued", context, facts, link, attachments)


def _charged_card(invoice: Invoice) -> str:
    """The card that is charged for what is due; "" where none is, or it was declined, of which another mail tells."""
    method = methods.default_method(invoice.account_id) if invoice.due else None
    was_tried = PaymentAttempt.objects.filter(invoice=invoice, ended_at__isnull=False).exists()
    return "" if method is None or was_tried else str(method)


def _how_to_pay(invoice: Invoice) -> list[tuple[str, str]]:
    """As the document says it: by the seller as it was at the issue."""
    seller: dict[str, Any] = invoice.seller or {}
    facts = [(_("To be paid by"), day(invoice.due_at))] if invoice.due_at else []
    if iban := seller.get("iban"):
        grouped = " ".join(iban[start : start + 4] for start in range(0, len(iban), 4))
        facts += [(_("Payable to"), seller["name"]), ("IBAN", grouped), (_("Reference"), str(invoice))]
    return facts


def _as_pdf(invoice: Invoice) -> list[Attachment]:
    try:
        document = of_invoice(invoice)
    except NoDocument:
        return []
    return [Attachment(f"{invoice}.pdf", pdf.pdf_of(document), pdf.MEDIA_TYPE)]
