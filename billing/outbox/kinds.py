"""What can happen to an account, and what a message of each kind names."""

from __future__ import annotations

from enum import StrEnum


class Happened(StrEnum):
    """The kind of a message. The text below each names the keys of its payload: ids, numbers and codes."""

    SUBSCRIPTION_OPENED = "subscription.opened"
    """subscription, plan"""
    PLAN_CHANGED = "subscription.plan_changed"
    """At once, by an upgrade or by staff; what was scheduled is dropped: subscription, from_plan, to_plan, invoice"""
    CHANGE_SCHEDULED = "subscription.change_scheduled"
    """subscription, plan"""
    SCHEDULE_CANCELLED = "subscription.schedule_cancelled"
    """subscription, plan"""
    SCHEDULE_APPLIED = "subscription.schedule_applied"
    """subscription, from_plan, to_plan"""
    PERIOD_RENEWED = "subscription.renewed"
    """One message a period that was opened: subscription, plan, period (its number)"""
    CANCEL_SCHEDULED = "subscription.cancel_scheduled"
    """It ends with its period: subscription, plan"""
    CANCEL_WITHDRAWN = "subscription.cancel_withdrawn"
    """It is renewed after all: subscription, plan"""
    SUBSCRIPTION_ENDED = "subscription.ended"
    """Canceled, ended by staff, or with its period as its user is deactivated. Where a plan follows, it is in the
    `subscription.opened` of the same instant: subscription, plan"""
    SUBSCRIPTION_PARKED = "subscription.parked"
    """subscription"""
    SUBSCRIPTION_RELEASED = "subscription.released"
    """subscription"""
    INVOICE_ISSUED = "invoice.issued"
    """invoice, status: `paid` where nothing is due, and then no `invoice.paid` follows"""
    INVOICE_PAID = "invoice.paid"
    """Payments, credit notes and balance together have settled it: invoice"""
    INVOICE_VOIDED = "invoice.voided"
    """invoice"""
    CREDIT_NOTE_ISSUED = "credit_note.issued"
    """credit_note, invoice"""
    PAYMENT_RECORDED = "payment.recorded"
    """payment, invoice"""
    API_KEY_ISSUED = "api_key.issued"
    """key: its prefix"""
    API_KEY_REVOKED = "api_key.revoked"
    """key: its prefix"""
    LIMITS_CHANGED = "limits.changed"
    """override or top_up: the row that was saved or deleted"""
