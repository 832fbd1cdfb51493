"""Which mail is sent about what, and what it says. What is not here is not mailed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from billing.mails.draft import Draft
from billing.mails.drafts import invoices, keys, logging_in, payments, subscriptions, thresholds, webhooks
from billing.models import OutboxMessage
from billing.outbox.kinds import Happened

Write = Callable[[OutboxMessage], Draft | None]
"""Says what a mail says in the active language and time zone; None where there is nothing to tell any more."""
DRAFTS: Final[dict[str, Write]] = {
    Happened.CHANGE_SCHEDULED: subscriptions.change_scheduled,
    Happened.SCHEDULE_APPLIED: subscriptions.change_applied,
    Happened.SCHEDULE_CANCELLED: subscriptions.change_canceled,
    Happened.PLAN_CHANGED: subscriptions.plan_changed,
    Happened.TRIAL_ENDING: subscriptions.trial_ending,
    Happened.CANCEL_SCHEDULED: subscriptions.cancel_scheduled,
    Happened.CANCEL_WITHDRAWN: subscriptions.cancel_withdrawn,
    Happened.SUBSCRIPTION_ENDED: subscriptions.ended,
    Happened.INVOICE_ISSUED: invoices.issued,
    Happened.CHARGE_SUCCEEDED: payments.succeeded,
    Happened.CHARGE_FAILED: payments.failed,
    Happened.CHARGE_NEEDS_ACTION: payments.needs_action,
    Happened.PAST_DUE_BEGAN: payments.past_due,
    Happened.PLAN_PAUSED: payments.paused,
    Happened.PAST_DUE_ENDED: payments.paid_again,
    Happened.REFUND_SUCCEEDED: payments.refunded,
    Happened.DISPUTE_OPENED: payments.disputed,
    Happened.API_KEY_ISSUED: keys.created,
    Happened.API_KEY_ROTATED: keys.rotated,
    Happened.API_KEY_REVOKED: keys.revoked,
    Happened.NEW_PLACE: logging_in.new_place,
    Happened.THRESHOLD_CROSSED: thresholds.crossed,
    Happened.WEBHOOK_DISABLED: webhooks.disabled,
    Happened.OPERATORS_WEBHOOK_DISABLED: webhooks.disabled,
}
NOTICES: Final = frozenset({Happened.THRESHOLD_CROSSED})
"""Mails that a customer can do without, and can unsubscribe from. The others belong to the contract or to security."""
TO_STAFF: Final = frozenset({Happened.DISPUTE_OPENED, Happened.OPERATORS_WEBHOOK_DISABLED})
"""Mails to STAFF_EMAIL instead of to the customer."""
IN_ANY_CASE: Final = frozenset({Happened.INVOICE_ISSUED, Happened.REFUND_SUCCEEDED})
"""Sent also to a user who is deactivated."""
