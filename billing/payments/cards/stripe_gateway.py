"""Stripe, by its own client. Customers see its hosted pages only: no card number passes through this site."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

import stripe
from django.db import connection

from billing.payments.cards import stripe_objects as objects
from billing.payments.cards.answers import (
    Answer,
    Answered,
    BadEvent,
    Card,
    CardDispute,
    CardRefund,
    Charge,
    Event,
    HostedPage,
    Rejected,
    SetUp,
    Unknown,
)

API_VERSION: Final = "2026-10-28.endive"
"""What the objects look like. Raise it together with the package's version, after its list of changes."""
TIMEOUT_SECONDS: Final = 20
TOLERANCE_SECONDS: Final = 300
PAGE = "{CHECKOUT_SESSION_ID}"
EVENTS_A_PAGE: Final = 100
T = TypeVar("T")


class StripeGateway:
    """See `Gateway`. Safe for threads."""

    name = "stripe"

    def __init__(self, key: str, webhook_secret: str, *, api_base: str = "") -> None:
        self.is_live = is_live(key)
        self._webhook_secret = webhook_secret
        self._stripe = stripe.StripeClient(
            key,
            stripe_version=API_VERSION,
            base_addresses={"api": api_base} if api_base else None,
            max_network_retries=0,  # a lost answer is the caller's business: it knows the key
            http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS),
        ).v1

    def create_customer(self, account: int, *, email: str, key: str) -> Answer[str]:
        asked: Any = {"email": email, "metadata": {"account": str(account)}}
        return _ask(lambda: self._stripe.customers.create(asked, {"idempotency_key": key}).id)

    def delete_customer(self, customer: str) -> Answer[None]:
        return _done(_ask(lambda: self._stripe.customers.delete(customer)))

    def begin_set_up(self, customer: str, *, done_url: str, left_url: str, language: str = "") -> Answer[HostedPage]:
        asked: Any = {
            "mode": "setup",
            "payment_method_types": ["card"],
            **_page(customer, done_url, left_url, language),
        }
        return self._one(objects.page, lambda: self._stripe.checkout.sessions.create(asked))

    def begin_payment(
        self,
        customer: str,
        amount: Decimal,
        currency: str,
        *,
        attempt: str,
        description: str,
        done_url: str,
        left_url: str,
        language: str = "",
    ) -> Answer[HostedPage]:
        units = _units(amount, currency)
        if isinstance(units, Rejected):
            return units
        item = {
            "price_data": {
                "currency": currency.lower(),
                "unit_amount": units,
                "product_data": {"name": description},
            },
            "quantity": 1,
        }
        asked: Any = {
            "mode": "payment",
            "payment_method_types": ["card"],
            "line_items": [item],
            "payment_intent_data": {
                "metadata": {"attempt": attempt},
                "description": description,
            },
            "metadata": {"attempt": attempt},
            **_page(customer, done_url, left_url, language),
        }
        key: Any = {"idempotency_key": f"page-{attempt}"}
        return self._one(objects.page, lambda: self._stripe.checkout.sessions.create(asked, key))

    def charge(
        self, customer: str, method: str, amount: Decimal, currency: str, *, attempt: str, description: str
    ) -> Answer[Charge]:
        units = _units(amount, currency)
        if isinstance(units, Rejected):
            return units
        asked: Any = {
            "amount": units,
            "currency": currency.lower(),
            "customer": customer,
            "payment_method": method,
            "payment_method_types": ["card"],
            "off_session": True,
            "confirm": True,
            "description": description,
            "metadata": {"attempt": attempt},
        }
        key: Any = {"idempotency_key": attempt}
        return self._one(objects.charge, lambda: self._stripe.payment_intents.create(asked, key))

    def fetch_page(self, reference: str) -> Answer[HostedPage]:
        expand: Any = {"expand": ["setup_intent.payment_method", "payment_intent.latest_charge"]}
        return self._one(objects.page, lambda: self._stripe.checkout.sessions.retrieve(reference, expand))

    def end_page(self, reference: str) -> Answer[None]:
        return _done(_ask(lambda: self._stripe.checkout.sessions.expire(reference)), also_missing=False)

    def fetch_set_up(self, reference: str) -> Answer[SetUp]:
        expand: Any = {"expand": ["payment_method"]}
        return self._one(objects.set_up, lambda: self._stripe.setup_intents.retrieve(reference, expand))

    def fetch_card(self, reference: str) -> Answer[Card]:
        return self._one(objects.card, lambda: self._stripe.payment_methods.retrieve(reference))

    def detach_card(self, reference: str) -> Answer[None]:
        answer = _done(_ask(lambda: self._stripe.payment_methods.detach(reference)))
        if isinstance(answer, Rejected):  # which it also says of one that is detached
            now = self.fetch_card(reference)
            if isinstance(now, Answered) and not now.value.customer:
                return Answered(None)
        return answer

    def fetch_charge(self, reference: str) -> Answer[Charge]:
        expand: Any = {"expand": ["latest_charge"]}
        return self._one(objects.charge, lambda: self._stripe.payment_intents.retrieve(reference, expand))

    def find_charge(self, customer: str, attempt: str, since: datetime) -> Answer[Charge | None]:
        asked: Any = {"customer": customer, "created": {"gte": int(since.timestamp())}, "limit": 100}

        def found() -> Charge | None:
            for intent in self._stripe.payment_intents.list(asked).auto_paging_iter():
                charge = objects.charge(intent.to_dict())
                if charge.attempt == attempt:
                    return charge
            return None

        return _ask(found)

    def cancel_charge(self, reference: str) -> Answer[Charge]:
        return self._one(objects.charge, lambda: self._stripe.payment_intents.cancel(reference))

    def refund(self, charge: str, amount: Decimal, currency: str, *, refund: str) -> Answer[CardRefund]:
        units = _units(amount, currency)
        if isinstance(units, Rejected):
            return units
        asked: Any = {"payment_intent": charge, "amount": units, "metadata": {"refund": refund}}
        key: Any = {"idempotency_key": refund}
        return self._one(objects.refund, lambda: self._stripe.refunds.create(asked, key))

    def fetch_refund(self, reference: str) -> Answer[CardRefund]:
        return self._one(objects.refund, lambda: self._stripe.refunds.retrieve(reference))

    def find_refund(self, charge: str, refund: str) -> Answer[CardRefund | None]:
        asked: Any = {"payment_intent": charge, "limit": 100}

        def found() -> CardRefund | None:
            each = (objects.refund(made.to_dict()) for made in self._stripe.refunds.list(asked).auto_paging_iter())
            return next((made for made in each if made.refund == refund), None)

        return _ask(found)

    def fetch_dispute(self, reference: str) -> Answer[CardDispute]:
        return self._one(objects.dispute, lambda: self._stripe.disputes.retrieve(reference))

    def parse_event(self, body: bytes, signature: str) -> Event:
        if not self._webhook_secret:
            raise BadEvent("no secret is set that its signature could be checked with")
        try:
            text = body.decode()
            stripe.WebhookSignature.verify_header(text, signature, self._webhook_secret, TOLERANCE_SECONDS)
            return objects.event(json.loads(text))
        except stripe.SignatureVerificationError as error:
            raise BadEvent("it is not signed with our secret, or too old") from error
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise BadEvent("it is no event") from error

    def events_since(self, since: datetime) -> Answer[Sequence[Event]]:
        asked: Any = {"created": {"gte": int(since.timestamp())}, "limit": EVENTS_A_PAGE}
        newest_first = _ask(
            lambda: [objects.event(told.to_dict()) for told in self._stripe.events.list(asked).auto_paging_iter()]
        )
        return Answered(newest_first.value[::-1]) if isinstance(newest_first, Answered) else newest_first

    def _one(self, read: Callable[[Mapping[str, Any]], T], call: Callable[[], Any]) -> Answer[T]:
        return _ask(lambda: read(call().to_dict()))


def is_live(key: str) -> bool:
    """Whether a secret or restricted key of Stripe's moves real money."""
    return key.startswith(("sk_live_", "rk_live_"))


def _page(customer: str, done_url: str, left_url: str, language: str) -> dict[str, Any]:
    return {
        "customer": customer,
        "success_url": done_url.replace("{page}", PAGE),
        "cancel_url": left_url.replace("{page}", PAGE),
        "locale": language or "auto",
    }


def _units(amount: Decimal, currency: str) -> int | Rejected:
    try:
        return objects.to_units(amount, currency)
    except ValueError as error:
        return Rejected("amount", str(error))


def _done(answer: Answer[Any], *, also_missing: bool = True) -> Answer[None]:
    """Without its value; what is to be gone may be missing."""
    if isinstance(answer, Answered) or (also_missing and isinstance(answer, Rejected) and answer.is_missing):
        return Answered(None)
    return answer


def _ask(call: Callable[[], T]) -> Answer[T]:
    """What becomes of a request. Raises RuntimeError in a transaction, which would hold its locks for as long."""
    if any(not getattr(block, "_from_testcase", False) for block in connection.atomic_blocks):
        raise RuntimeError("the provider is never called inside of a transaction")
    try:
        return Answered(call())
    except stripe.CardError as error:
        return objects.declined(error.error.to_dict() if error.error else {"message": error.user_message})
    except (stripe.InvalidRequestError, stripe.IdempotencyError) as error:
        code = error.code or (error.error.type if error.error else None)
        return Rejected(code or "invalid_request", error.user_message or "")
    except stripe.StripeError as error:
        return Unknown(f"{type(error).__name__}: {error.user_message}"[:500])
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # it was executed, whatever it answered
        return Unknown(f"an answer that is not understood: {error!r}"[:500])
