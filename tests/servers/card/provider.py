"""What the provider does with a request: localstripe's answer, and what is laid over it.

Test cards are Stripe's: https://docs.stripe.com/testing
"""

from __future__ import annotations

import itertools
import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.servers.card.upstream import Failed, Upstream

Json = dict[str, Any]
DECLINED_WHEN_SAVED = {
    "4000000000000002": "generic_decline",
    "4000000000009995": "insufficient_funds",
    "4000000000009987": "lost_card",
    "4000000000009979": "stolen_card",
    "4000000000000069": "expired_card",
    "4000000000000127": "incorrect_cvc",
}
DECLINED_WHEN_CHARGED = {"4000000000000341": "generic_decline", "4000002760003184": "authentication_required"}
CONFIRMED_BY_THE_BANK = ("4000002500003155", "4000002760003184", "4000000000003220")
SENTENCES = {
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
}
OF_THEIR_OWN = ("authentication_required", "expired_card", "incorrect_cvc")
DISPUTE_FEE = 1500


class Provider:
    """One account at the provider. Everything is forgotten by `reset`."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.told: Callable[[Json], None] = lambda event: None
        self.forget()

    def forget(self) -> None:
        self.is_live = False
        self.events: list[Json] = []
        self.over: dict[str, Json] = {}  # by id: what stands in place of localstripe's
        self.kept: dict[str, Json] = {}  # disputes, which localstripe does not know
        self.numbers: dict[str, str] = {}  # of saved cards
        self.declines: dict[str, str] = {}  # by card: why its charges are declined from now on
        self.made: list[tuple[str, str, int]] = []  # of each payment: its id, its customer, when
        self.of_refund: dict[str, str] = {}  # the payment that each gives back
        self._numbered = itertools.count(1)

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._numbered)}{secrets.token_hex(8)}"

    # --- what is read

    def get(self, path: str) -> Json:
        reference = path.rsplit("/", 1)[1]
        return self.seen(self.kept[reference] if reference in self.kept else self.upstream.ask("GET", path))

    def seen(self, thing: Any) -> Any:
        """With what is laid over it, and over all that is within it."""
        if isinstance(thing, list):
            return [self.seen(each) for each in thing]
        if not isinstance(thing, dict):
            return thing
        shown = {name: self.seen(value) for name, value in thing.items()} | self.over.get(str(thing.get("id")), {})
        if shown.get("object") == "refund":
            shown["payment_intent"] = self.of_refund.get(shown["id"])
        if "livemode" in shown:
            shown["livemode"] = self.is_live
        return shown

    def payments(self, query: Mapping[str, Any]) -> list[Json]:
        """Newest first, and of each only what a list needs: localstripe's own knows no customer, and takes seconds."""
        since, customer = int(query.get("created", {}).get("gte", 0)), query.get("customer")
        mine = [id for id, of, created in self.made if created >= since and customer in (None, of)]
        return [{"id": id} for id in reversed(mine)]

    def begin_payment(self, asked: Json) -> Json:
        """One that is not confirmed yet."""
        intent = self.upstream.ask("POST", "/v1/payment_intents", asked)
        self.made.append((intent["id"], intent["customer"], intent["created"]))
        return dict(intent)

    # --- what happened

    def tell(self, type: str, subject: Mapping[str, Any]) -> None:
        event = {
            "id": self.new_id("evt"),
            "object": "event",
            "type": type,
            "created": int(time.time()),
            "livemode": self.is_live,
            "api_version": "2026-10-28.endive",
            "data": {"object": json.loads(json.dumps(self.seen(dict(subject))))},
        }
        self.events.append(event)
        self.told(event)

    # --- cards

    def save_card(self, customer: str, number: str, year: int = 2034, month: int = 12) -> Json:
        """A card that belongs to a customer from now on."""
        return self.attach(self.make_card(number, year, month), customer)

    def make_card(self, number: str, year: int, month: int) -> str:
        """One that belongs to nobody."""
        card = {"number": number, "exp_month": month, "exp_year": year, "cvc": "123"}
        made = self.upstream.ask("POST", "/v1/payment_methods", {"type": "card", "card": card})
        self.numbers[made["id"]] = number
        return str(made["id"])

    def attach(self, card: str, customer: str) -> Json:
        saved = self.upstream.ask("POST", f"/v1/payment_methods/{card}/attach", {"customer": customer})
        self.tell("payment_method.attached", saved)
        return dict(saved)

    def detach(self, reference: str) -> Json:
        before = self.get(f"/v1/payment_methods/{reference}")
        if before["customer"] is None:
            raise Failed(400, _invalid("The payment method is not attached to a customer; it cannot be detached."))
        after = self.upstream.ask("POST", f"/v1/payment_methods/{reference}/detach", {})
        self.tell("payment_method.detached", after)
        return dict(after)

    def update_card(self, reference: str, year: int, month: int) -> None:
        """As a network tells that the bank has sent its customer another card."""
        before = self.get(f"/v1/payment_methods/{reference}")
        self.over[reference] = {"card": before["card"] | {"exp_year": year, "exp_month": month}}
        self.tell("payment_method.automatically_updated", before)

    # --- payments

    def pay(self, form: Json, *, customer_is_away: bool) -> Json:
        """A payment that is confirmed at once. Raises Failed with the decline."""
        asked = {name: form.get(name) for name in ("amount", "currency", "customer", "payment_method", "metadata")}
        number = self.numbers.get(form["payment_method"], "")
        code = self.declines.get(form["payment_method"]) or DECLINED_WHEN_CHARGED.get(number)
        if code == "authentication_required" and not customer_is_away:
            code = None
        intent = self.begin_payment(asked)
        return self._declined(intent, code) if code else self._confirmed(intent["id"])

    def pay_again(self, payment: str, method: str) -> Json:
        """With another card, while its owner is there."""
        self.over.pop(payment, None)
        self.upstream.ask("POST", f"/v1/payment_intents/{payment}", {"payment_method": method})
        return self._confirmed(payment)

    def _confirmed(self, payment: str) -> Json:
        intent = self.upstream.ask("POST", f"/v1/payment_intents/{payment}/confirm", {})
        if intent["status"] == "requires_action":
            yes = {"client_secret": intent["client_secret"], "success": True}
            intent = self.upstream.ask("POST", f"/v1/payment_intents/{payment}/_authenticate", yes)
        self.tell("payment_intent.succeeded", intent)
        return dict(self.seen(intent))

    def _declined(self, intent: Json, code: str) -> Json:
        error = card_error(code)
        self.over[intent["id"]] = {"status": "requires_payment_method", "last_payment_error": error}
        self.tell("payment_intent.payment_failed", intent)
        raise Failed(402, error | {"payment_intent": self.seen(intent)})

    def cancel(self, payment: str) -> Json:
        intent = self.upstream.ask("POST", f"/v1/payment_intents/{payment}/cancel", {})
        self.over.pop(payment, None)
        self.tell("payment_intent.canceled", intent)
        return dict(intent)

    # --- money that goes back

    def refund(self, form: Json) -> Json:
        charge = self.get(f"/v1/payment_intents/{form['payment_intent']}")["latest_charge"]
        left = charge["amount"] - charge["amount_refunded"] if charge else 0
        if int(form.get("amount", left)) > left or not left:
            code = {} if left else {"code": "charge_already_refunded"}
            raise Failed(400, _invalid(f"Refund amount is greater than the unrefunded amount ({left}).") | code)
        asked = {"charge": charge["id"], "amount": form.get("amount", left), "metadata": form.get("metadata")}
        made = self.upstream.ask("POST", "/v1/refunds", asked)
        self.of_refund[made["id"]] = form["payment_intent"]
        self.tell("refund.created", made)
        self.tell("charge.refunded", self.get(f"/v1/payment_intents/{form['payment_intent']}")["latest_charge"])
        return dict(self.seen(made))

    def fail_refund(self, reference: str) -> None:
        self.over[reference] = {"status": "failed", "failure_reason": "lost_or_stolen_card"}
        self.tell("refund.failed", self.get(f"/v1/refunds/{reference}"))

    def dispute(self, payment: str, amount: int | None = None) -> Json:
        """Its customer's bank takes the money back, for now."""
        charge = self.get(f"/v1/payment_intents/{payment}")["latest_charge"]
        opened = {
            "id": self.new_id("dp"),
            "object": "dispute",
            "charge": charge["id"],
            "payment_intent": payment,
            "amount": amount or charge["amount"],
            "currency": charge["currency"],
            "reason": "fraudulent",
            "status": "needs_response",
            "livemode": self.is_live,
            "created": int(time.time()),
            "balance_transactions": [{"fee": DISPUTE_FEE, "currency": charge["currency"]}],
        }
        self.kept[opened["id"]] = opened
        self.tell("charge.dispute.created", opened)
        return opened

    def close_dispute(self, reference: str, status: str) -> None:
        self.kept[reference]["status"] = status
        self.tell("charge.dispute.closed", self.kept[reference])


def card_error(code: str) -> Json:
    generic = code not in OF_THEIR_OWN
    message = SENTENCES.get(code, "Your card was declined.")
    return {
        "type": "card_error",
        "code": "card_declined" if generic else code,
        "decline_code": code,
        "message": message,
    }


def _invalid(message: str) -> Json:
    return {"type": "invalid_request_error", "message": message}
