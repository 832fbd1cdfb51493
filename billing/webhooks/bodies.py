"""From a message of the outbox to what is told of it: types, each with its `data`.

Rows are read when the message is made, so they may be newer than the fact. A later message has a higher version and
tells what is newer still, so whoever keeps the highest version has the present state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

from django.conf import settings

from billing.http.json import ExactJSONEncoder
from billing.models import ApiKey, Invoice, OutboxMessage, PaymentAttempt, Subscription
from billing.outbox.kinds import Happened
from billing.rules.money import in_currency
from billing.webhooks.types import PING, TYPES

LARGEST: Final = 64 * 1024
"""Bytes of a body."""
Told = Iterable[tuple[str, dict[str, Any]]]
"""Types, each with its data but for `version` and `account`."""


def body_of(type_: str, at: datetime, data: dict[str, Any]) -> str:
    told = {"type": type_, "timestamp": at, "data": TYPES[type_](data).data}
    text = ExactJSONEncoder(separators=(",", ":"), ensure_ascii=False).encode(told)
    assert len(text.encode()) <= LARGEST, type_
    return str(text)


def ping(endpoint: int, account: int | None, at: datetime) -> str:
    version = int(at.timestamp() * 1000)
    return body_of(PING, at, {"id": str(endpoint), "version": version, "account": account})


def _subscription(message: OutboxMessage) -> Subscription:
    return Subscription.objects.select_related("plan").get(pk=message.payload["subscription"])


def _changed(change: str) -> Callable[[OutboxMessage], Told]:
    def tell(message: OutboxMessage) -> Told:
        row, said = _subscription(message), message.payload
        yield (
            "subscription.changed",
            {
                "id": str(row.pk),
                "change": change,
                "plan": said.get("to_plan") or said["plan"],
                "previous_plan": said.get("from_plan"),
                "status": row.status,
                "cancel_at": row.cancel_at,
            },
        )

    return tell


def _scheduled(message: OutboxMessage) -> Told:
    row, target = _subscription(message), message.payload["plan"]
    still = row.scheduled_plan is not None and row.scheduled_plan.code == target
    at = row.scheduled_at if still else None
    told = {"id": str(row.pk), "plan": row.plan.code, "target_plan": target, "effective_at": at}
    yield "subscription.downgrade_scheduled", told


def _schedule_canceled(message: OutboxMessage) -> Told:
    row = _subscription(message)
    told = {"id": str(row.pk), "plan": row.plan.code, "target_plan": message.payload["plan"]}
    yield "subscription.downgrade_canceled", told


def _past_due(message: OutboxMessage) -> Told:
    said = message.payload
    invoice = Invoice.objects.get(pk=said["invoice"])
    row = Subscription.objects.live().select_related("plan").filter(account=message.account_id).first()
    yield (
        "subscription.past_due",
        {
            "id": str(row.pk if row else invoice.subscription_id),
            "plan": row.plan.code if row else None,
            "invoice": str(invoice),
            "past_due_since": datetime.fromisoformat(said["since"]),
            "pauses_at": datetime.fromisoformat(said["pauses_at"]) if said["pauses_at"] else None,
        },
    )


def _issued(message: OutboxMessage) -> Told:
    invoice = _invoice(message)
    yield "invoice.issued", invoice
    if message.payload["status"] == Invoice.Status.PAID:  # and then no `invoice.paid` of the outbox follows
        yield "invoice.paid", invoice


def _paid(message: OutboxMessage) -> Told:
    yield "invoice.paid", _invoice(message)


def _reversed(message: OutboxMessage) -> Told:
    yield "invoice.reversed", _invoice(message)


def _invoice(message: OutboxMessage) -> dict[str, Any]:
    row = Invoice.objects.get(pk=message.payload["invoice"])
    amounts = {"net": row.net, "tax": row.tax, "total": row.total, "amount_due": row.due}
    return {
        "id": str(row),
        "number": str(row),
        "status": row.status,
        "currency": row.currency,
        "issued_at": row.issued_at,
        "due_at": row.due_at,
    } | {name: in_currency(amount, row.currency) for name, amount in amounts.items()}


def _failed(message: OutboxMessage) -> Told:
    row, then = _attempt(message), message.payload.get("next_try_at")
    at = datetime.fromisoformat(then) if then else None
    yield "payment.failed", _payment(row) | {"decline_code": row.decline_code, "next_try_at": at}


def _needs_action(message: OutboxMessage) -> Told:
    row = _attempt(message)
    url = f"{settings.SITE_URL}/dashboard/billing/invoices/{row.invoice}/pay/"
    yield "payment.action_required", _payment(row) | {"url": url}


def _attempt(message: OutboxMessage) -> PaymentAttempt:
    return PaymentAttempt.objects.select_related("invoice").get(pk=message.payload["attempt"])


def _payment(row: PaymentAttempt) -> dict[str, Any]:
    amount = in_currency(row.amount, row.currency)
    return {"id": str(row.pk), "invoice": str(row.invoice), "amount": amount, "currency": row.currency}


def _threshold(message: OutboxMessage) -> Told:
    said = message.payload
    told = {name: said[name] for name in ("limit", "percent", "tokens", "used")}
    ends = datetime.fromisoformat(said["window_ends_at"])
    yield "usage.threshold_reached", told | {"id": str(said["crossing"]), "window_ends_at": ends}


def _key_created(message: OutboxMessage) -> Told:
    yield from _key("api_key.created", message.payload["key"])


def _key_revoked(message: OutboxMessage) -> Told:
    yield from _key("api_key.revoked", message.payload["key"])


def _key_rotated(message: OutboxMessage) -> Told:
    yield from _key("api_key.created", message.payload["successor"])
    if not message.payload["overlap_seconds"]:
        yield from _key("api_key.revoked", message.payload["key"])


def _key(type_: str, prefix: str) -> Told:
    row = ApiKey.objects.get(prefix=prefix)
    yield (
        type_,
        {
            "id": row.pk,
            "name": row.name,
            "prefix": row.beginning,
            "scope": row.scope,
            "expires_at": row.expiry_date,
            "replaces": row.replaces_id,
        },
    )


TOLD: Final[dict[str, Callable[[OutboxMessage], Told]]] = {
    Happened.SUBSCRIPTION_OPENED: _changed("opened"),
    Happened.PLAN_CHANGED: _changed("plan_changed"),
    Happened.SCHEDULE_APPLIED: _changed("schedule_applied"),
    Happened.CANCEL_SCHEDULED: _changed("cancel_scheduled"),
    Happened.CANCEL_WITHDRAWN: _changed("cancel_withdrawn"),
    Happened.SUBSCRIPTION_ENDED: _changed("ended"),
    Happened.CHANGE_SCHEDULED: _scheduled,
    Happened.SCHEDULE_CANCELLED: _schedule_canceled,
    Happened.PAST_DUE_BEGAN: _past_due,
    Happened.INVOICE_ISSUED: _issued,
    Happened.INVOICE_PAID: _paid,
    Happened.INVOICE_REOPENED: _reversed,
    Happened.CHARGE_FAILED: _failed,
    Happened.CHARGE_NEEDS_ACTION: _needs_action,
    Happened.THRESHOLD_CROSSED: _threshold,
    Happened.API_KEY_ISSUED: _key_created,
    Happened.API_KEY_REVOKED: _key_revoked,
    Happened.API_KEY_ROTATED: _key_rotated,
}
"""What is not here is not told."""
