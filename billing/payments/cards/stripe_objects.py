"""Stripe's objects, as JSON, into ours. Nothing is called here. A field that is missing raises KeyError.

Amounts are integers in units of Stripe's own: the minor unit of ISO 4217 but for two currencies, and for currencies
of three decimals a multiple of ten. https://docs.stripe.com/currencies
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from billing.payments.cards.answers import (
    Card,
    CardDispute,
    CardRefund,
    Charge,
    ChargeState,
    Declined,
    DisputeState,
    Event,
    HostedPage,
    RefundState,
    SetUp,
    SetUpState,
)
from billing.rules.money import from_minor, minor_units, to_minor
from billing.rules.payments.declines import DeclineKind, kind_of

Json = Mapping[str, Any]
#: Decimals of Stripe's units where they are not those of ISO 4217.
OTHER_DECIMALS: Final = {"ISK": 2, "MGA": 0}
#: Stripe's page lists it with none, and with two for the sake of old callers. A factor of 100 is not guessed.
UNCLEAR: Final = frozenset({"UGX"})

CHARGE_STATES: Final = {
    "requires_confirmation": ChargeState.OPEN,
    "requires_action": ChargeState.NEEDS_ACTION,
    "requires_capture": ChargeState.PROCESSING,
    "processing": ChargeState.PROCESSING,
    "succeeded": ChargeState.SUCCEEDED,
    "canceled": ChargeState.CANCELED,
}
SET_UP_STATES: Final = {"succeeded": SetUpState.SAVED, "canceled": SetUpState.CANCELED}
REFUND_STATES: Final = {
    "succeeded": RefundState.SUCCEEDED,
    "failed": RefundState.FAILED,
    "canceled": RefundState.FAILED,
}
#: An inquiry that was closed has taken no money. What Stripe prevented was refunded before it became a dispute.
DISPUTE_STATES: Final = {
    "won": DisputeState.WON,
    "warning_closed": DisputeState.WON,
    "prevented": DisputeState.WON,
    "lost": DisputeState.LOST,
}


def to_units(amount: Decimal, currency: str) -> int:
    """Raises ValueError where Stripe cannot express the amount, or the currency is none of its."""
    if currency in UNCLEAR:
        raise ValueError(f"cards are not charged in {currency}")
    units = to_minor(amount, currency)
    shift = OTHER_DECIMALS.get(currency, minor_units(currency)) - minor_units(currency)
    whole, rest = divmod(units, 10**-shift) if shift < 0 else (units * 10**shift, 0)
    if rest or (minor_units(currency) == 3 and whole % 10):
        raise ValueError(f"Stripe cannot charge {amount} {currency}")
    return int(whole)


def from_units(units: int, currency: str) -> Decimal:
    currency = currency.upper()
    shift = minor_units(currency) - OTHER_DECIMALS.get(currency, minor_units(currency))
    return from_minor(units * 10**shift, currency) if shift >= 0 else from_minor(units // 10**-shift, currency)


def instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def card(method: Json) -> Card:
    about = method["card"]
    return Card(
        reference=method["id"],
        customer=_id(method.get("customer")),
        brand=about["brand"],
        last4=about["last4"],
        exp_month=about["exp_month"],
        exp_year=about["exp_year"],
        fingerprint=about.get("fingerprint") or "",
        created_at=instant(method["created"]),
    )


def declined(error: Json, reference: str = "") -> Declined:
    """Of an error that speaks of a card: that of a request, or the last one of a payment or set-up."""
    code = error.get("decline_code") or error.get("code") or "generic_decline"
    if error.get("code") == "authentication_required":
        code = "authentication_required"
    named = error.get("payment_intent") or error.get("setup_intent")
    return Declined(code, kind_of(code), error.get("message") or "", reference or _id(named))


def charge(intent: Json) -> Charge:
    """Of a payment intent, with its last charge where that was asked for."""
    last, error = intent.get("latest_charge"), intent.get("last_payment_error")
    currency = intent["currency"].upper()
    decline = declined(error, intent["id"]) if error else None
    state = CHARGE_STATES.get(intent["status"])
    if state is None:  # it waits for a card: the first one, or another one than was declined
        state = ChargeState.OPEN if decline is None else ChargeState.FAILED
        if decline is not None and decline.kind == DeclineKind.ACTION:
            state = ChargeState.NEEDS_ACTION
    refunded = last.get("amount_refunded") or 0 if isinstance(last, Mapping) else 0
    return Charge(
        reference=intent["id"],
        state=state,
        amount=from_units(intent["amount"], currency),
        currency=currency,
        customer=_id(intent.get("customer")),
        method=_id(intent.get("payment_method")),
        attempt=(intent.get("metadata") or {}).get("attempt") or "",
        decline=decline if state in (ChargeState.FAILED, ChargeState.NEEDS_ACTION) else None,
        refunded=from_units(refunded, currency),
        created_at=instant(intent["created"]),
    )


def set_up(intent: Json) -> SetUp:
    """Of a set-up intent, with its method where that was asked for."""
    error, method = intent.get("last_setup_error"), intent.get("payment_method")
    state = SET_UP_STATES.get(intent["status"], SetUpState.FAILED if error else SetUpState.OPEN)
    return SetUp(
        reference=intent["id"],
        customer=_id(intent.get("customer")),
        state=state,
        card=card(method) if isinstance(method, Mapping) and state == SetUpState.SAVED else None,
        decline=declined(error, intent["id"]) if error and state != SetUpState.SAVED else None,
    )


def page(session: Json) -> HostedPage:
    intent, payment = session.get("setup_intent"), session.get("payment_intent")
    return HostedPage(
        reference=session["id"],
        url=session.get("url") or "",
        is_open=session["status"] == "open",
        set_up=set_up(intent) if isinstance(intent, Mapping) else None,
        charge=charge(payment) if isinstance(payment, Mapping) else None,
    )


def refund(made: Json) -> CardRefund:
    currency = made["currency"].upper()
    return CardRefund(
        reference=made["id"],
        charge=_id(made.get("payment_intent")),
        state=REFUND_STATES.get(made["status"], RefundState.PENDING),
        amount=from_units(made["amount"], currency),
        currency=currency,
        refund=(made.get("metadata") or {}).get("refund") or "",
        failure=made.get("failure_reason") or "",
    )


def dispute(opened: Json) -> CardDispute:
    moved = opened.get("balance_transactions") or []
    kept_in = moved[0]["currency"].upper() if moved else ""
    return CardDispute(
        reference=opened["id"],
        charge=_id(opened.get("payment_intent")),
        state=DISPUTE_STATES.get(opened["status"], DisputeState.OPEN),
        amount=from_units(opened["amount"], opened["currency"]),
        currency=opened["currency"].upper(),
        reason=opened.get("reason") or "",
        fee=from_units(sum(each["fee"] for each in moved), kept_in) if moved else Decimal(0),
        fee_currency=kept_in,
    )


def event(told: Json) -> Event:
    """Raises TypeError and ValueError as well, where what names it or its object is no text."""
    subject = told["data"]["object"]
    return Event(
        reference=_name(told["id"]),
        type=_name(told["type"]),
        object_type=_name(subject["object"]),
        object_reference=_name(subject["id"]) if subject.get("id") else "",
        is_live=told["livemode"],
        created_at=instant(told["created"]),
        payload=told,
    )


def _name(given: Any) -> str:
    if not isinstance(given, str) or not given or not given.isprintable():
        raise ValueError("it names nothing")
    return given


def _id(named: Any) -> str:
    """Of an object that is named, or given whole, or missing."""
    if isinstance(named, Mapping):
        return str(named["id"])
    return named or ""
