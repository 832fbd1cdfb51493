"""Mails about payments: what was charged, declined or given back, and what an invoice that is not paid leads to."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from billing.mails.draft import Draft, Link, amount, day, instant
from billing.models import Dispute, Invoice, OutboxMessage, PastDue, PaymentAttempt, Refund
from billing.models.payments.money import MANUAL

BY_THE_CUSTOMER = PaymentAttempt.Cause.CUSTOMER
"""Who did it was told on the page."""


def succeeded(message: OutboxMessage) -> Draft | None:
    attempt = _attempt(message)
    facts = [*_facts(attempt), (_("Paid on"), day(attempt.ended_at or message.recorded_at))]
    return Draft("payment_succeeded", _context(attempt), facts, _to_invoice(attempt.invoice))


def failed(message: OutboxMessage) -> Draft | None:
    attempt = _attempt(message)
    then = message.payload.get("next_try_at")
    if attempt.cause == BY_THE_CUSTOMER or not then or attempt.invoice.status != Invoice.Status.OPEN:
        return None  # where nothing follows, the mail that it is past due tells it
    at = day(datetime.fromisoformat(then))
    facts = [*_facts(attempt), (_("Next try"), at)]
    return Draft("payment_failed", {**_context(attempt), "at": at}, facts, _to_pay(attempt.invoice))


def needs_action(message: OutboxMessage) -> Draft | None:
    attempt = _attempt(message)
    if attempt.cause == BY_THE_CUSTOMER or attempt.state != PaymentAttempt.State.NEEDS_ACTION:
        return None
    link = Link(_("Confirm the payment"), _pay_path(attempt.invoice))
    return Draft("payment_action", _context(attempt), _facts(attempt), link)


def past_due(message: OutboxMessage) -> Draft | None:
    row = _past_due(message)
    if row is None:
        return None
    invoice, pauses = row.invoice, message.payload["pauses_at"]
    at = day(datetime.fromisoformat(pauses)) if pauses else ""
    due = amount(invoice.due, invoice.currency)
    facts = [(_("Invoice"), str(invoice)), (_("Due"), due)]
    if at:
        facts.append((_("Plan paused from"), at))
    return Draft("past_due", {"number": str(invoice), "amount": due, "at": at}, facts, _to_pay(invoice))


def paused(message: OutboxMessage) -> Draft | None:
    row = _past_due(message)
    if row is None:
        return None
    invoice = row.invoice
    due = amount(invoice.due, invoice.currency)
    facts = [(_("Invoice"), str(invoice)), (_("Due"), due), (_("Past due since"), day(row.since))]
    return Draft("plan_paused", {"number": str(invoice), "amount": due}, facts, _to_pay(invoice))


def paid_again(message: OutboxMessage) -> Draft | None:
    """None while something else is past due: then nothing goes on yet."""
    if message.payload["others"]:
        return None
    invoice = Invoice.objects.get(pk=message.payload["invoice"])
    context = {"number": str(invoice), "was_paused": bool(message.payload["was_paused"])}
    return Draft("paid_again", context, link=_to_invoice(invoice))


def refunded(message: OutboxMessage) -> Draft | None:
    refund = Refund.objects.select_related("on_chain").get(pk=message.payload["refund"])
    given = amount(refund.amount, refund.currency)
    facts = [(_("Amount"), given), (_("On"), day(message.recorded_at))]
    by_token = getattr(refund, "on_chain", None)
    by_card = by_token is None and refund.money_in_id is not None and refund.provider != MANUAL
    context = {"amount": given, "by_card": by_card, "address": by_token.to_address if by_token else ""}
    return Draft("refund_made", context, facts, Link(_("Look at your billing"), "/dashboard/billing/"))


def disputed(message: OutboxMessage) -> Draft | None:
    """For staff."""
    dispute = Dispute.objects.select_related("invoice", "account").get(pk=message.payload["dispute"])
    facts = [
        ("Customer", str(dispute.account)),
        ("Amount", amount(dispute.amount, dispute.currency)),
        ("Invoice", str(dispute.invoice or "–")),
        ("Reason", dispute.reason or "–"),
        ("Opened", instant(dispute.opened_at)),
    ]
    path = f"/admin/billing/dispute/{dispute.pk}/change/"
    return Draft("dispute_opened", {"reference": dispute.reference}, facts, Link("Look at the dispute", path))


def _attempt(message: OutboxMessage) -> PaymentAttempt:
    return PaymentAttempt.objects.select_related("invoice", "method").get(pk=message.payload["attempt"])


def _past_due(message: OutboxMessage) -> PastDue | None:
    """None: it was settled meanwhile."""
    return PastDue.objects.select_related("invoice").filter(invoice=message.payload["invoice"]).first()


def _context(attempt: PaymentAttempt) -> dict[str, object]:
    return {
        "number": str(attempt.invoice),
        "amount": amount(attempt.amount, attempt.currency),
        "card": str(attempt.method or ""),
    }


def _facts(attempt: PaymentAttempt) -> list[tuple[str, str]]:
    facts = [(_("Invoice"), str(attempt.invoice)), (_("Amount"), amount(attempt.amount, attempt.currency))]
    return [*facts, (_("Card"), str(attempt.method))] if attempt.method else facts


def _to_pay(invoice: Invoice) -> Link:
    return Link(_("Pay the invoice"), _pay_path(invoice))


def _pay_path(invoice: Invoice) -> str:
    return f"/dashboard/billing/invoices/{invoice}/pay/"


def _to_invoice(invoice: Invoice) -> Link:
    return Link(_("Look at the invoice"), f"/dashboard/billing/invoices/{invoice}/")
