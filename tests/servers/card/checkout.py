"""Hosted pages: a customer saves a card on one, or pays. Each step is a plain form."""

from __future__ import annotations

import re
import time
from html import escape
from typing import Any

from tests.servers.card.provider import CONFIRMED_BY_THE_BANK, DECLINED_WHEN_SAVED, Json, Provider, card_error
from tests.servers.card.upstream import Failed

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"><title>{title}</title>
<style>body{{font:16px system-ui;max-width:26rem;margin:3rem auto;padding:0 1rem}}
label,input,button,a{{display:block;margin:.6rem 0}}input{{width:100%;padding:.5rem;box-sizing:border-box}}
button{{padding:.6rem 1rem}}.error{{color:#b00020}}</style><h1>{title}</h1>{body}"""
CARD = """<p>Test provider: no money moves.</p>{error}<form method="post">
<label>Card number <input name="number" value="4242424242424242" autocomplete="off"></label>
<label>Expiry (MM/YY) <input name="expiry" value="12/34"></label><label>CVC <input name="cvc" value="123"></label>
<button name="step" value="card">{verb}</button></form><a id="leave" href="{leave}">Back</a>"""
BANK = """<p>Your bank wants to know that it is you.</p><form method="post">
<button name="step" value="yes">Complete authentication</button>
<button name="step" value="no">Fail authentication</button></form>"""
FAILED_AT_THE_BANK = {
    "setup": "setup_intent_authentication_failure",
    "payment": "payment_intent_authentication_failure",
}


class Checkout:
    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.base = ""
        self.forget()

    def forget(self) -> None:
        self.sessions: dict[str, Json] = {}
        self.entered: dict[str, tuple[str, int, int]] = {}  # a card that its bank has still to confirm

    # --- the API

    def begin(self, form: Json) -> Json:
        self.provider.get(f"/v1/customers/{form['customer']}")
        reference = self.provider.new_id("cs_test")
        session = {
            "id": reference,
            "object": "checkout.session",
            "livemode": self.provider.is_live,
            "created": int(time.time()),
            "mode": form["mode"],
            "status": "open",
            "payment_status": "unpaid" if form["mode"] == "payment" else "no_payment_required",
            "customer": form["customer"],
            "metadata": form.get("metadata") or {},
            "success_url": form["success_url"],
            "cancel_url": form["cancel_url"],
            "url": f"{self.base}/pay/{reference}",
            "setup_intent": None,
            "payment_intent": None,
            "_form": form,
        }
        if form["mode"] == "setup":
            asked = {"customer": form["customer"], "payment_method_types": ["card"]}
            session["setup_intent"] = self.provider.upstream.ask("POST", "/v1/setup_intents", asked)["id"]
        self.sessions[reference] = session
        return self.shown(session)

    def shown(self, session: Json, expand: Any = ()) -> Json:
        seen = {name: value for name, value in session.items() if not name.startswith("_")}
        for path in expand:
            first, _, second = path.partition(".")
            if seen.get(first):
                seen[first] = self.provider.get(f"/v1/{first}s/{session[first]}")
                if second == "payment_method" and seen[first].get(second):
                    seen[first][second] = self.provider.get(f"/v1/payment_methods/{seen[first][second]}")
        return seen

    def get(self, reference: str) -> Json:
        if reference not in self.sessions:
            raise Failed(404, {"type": "invalid_request_error", "code": "resource_missing", "message": "No such page"})
        return self.sessions[reference]

    def expire(self, reference: str) -> Json:
        session = self.get(reference)
        if session["status"] != "open":
            raise Failed(400, {"type": "invalid_request_error", "message": "This Session is not open."})
        session |= {"status": "expired", "url": None}
        if session["payment_intent"]:
            self.provider.cancel(session["payment_intent"])
        self.provider.tell("checkout.session.expired", self.shown(session))
        return self.shown(session)

    # --- the page

    def page(self, reference: str, error: str = "") -> str:
        session = self.get(reference)
        if session["status"] != "open":
            return PAGE.format(title="This page has ended", body="")
        if reference in self.entered:
            return PAGE.format(title="Your bank", body=BANK)
        form = session["_form"]
        verb, title = "Save card", "Save a card"
        if session["mode"] == "payment":
            price = form["line_items"][0]["price_data"]
            verb, title = "Pay", f"Pay {price['unit_amount']} {price['currency'].upper()} (minor units)"
        said = f'<p class="error" role="alert">{escape(error)}</p>' if error else ""
        leave = escape(session["cancel_url"].replace("{CHECKOUT_SESSION_ID}", reference))
        return PAGE.format(title=escape(title), body=CARD.format(error=said, verb=verb, leave=leave))

    def submit(self, reference: str, form: Json) -> tuple[str, str]:
        """Where to go, or the page to show."""
        session, step = self.get(reference), form.get("step", "card")
        if session["status"] != "open":
            return "", self.page(reference)
        if step == "card":
            number = re.sub(r"\D", "", form.get("number", ""))
            month, year = (int(part) for part in re.findall(r"\d+", form.get("expiry", ""))[:2] or (12, 34))
            if number in DECLINED_WHEN_SAVED:
                return "", self.page(reference, self._declined(session, number, DECLINED_WHEN_SAVED[number]))
            self.entered[reference] = number, 2000 + year % 100, month
            if number in CONFIRMED_BY_THE_BANK:
                return "", self.page(reference)
        number, year, month = self.entered.pop(reference)
        if step == "no":
            return "", self.page(reference, self._declined(session, number, FAILED_AT_THE_BANK[session["mode"]]))
        if session["mode"] == "setup":
            self._save(session, number, year, month)
        elif problem := self._pay(session, number, year, month):
            return "", self.page(reference, problem)
        session |= {"status": "complete", "url": None}
        self.provider.tell("checkout.session.completed", self.shown(session))
        return session["success_url"].replace("{CHECKOUT_SESSION_ID}", reference), ""

    def _declined(self, session: Json, number: str, code: str) -> str:
        """Written onto the set-up or the payment; returns the sentence for the page."""
        error = card_error(code) | ({"code": code} if code in FAILED_AT_THE_BANK.values() else {})
        if session["mode"] == "setup":
            wait = {"status": "requires_payment_method", "last_setup_error": error}
            self.provider.over[session["setup_intent"]] = wait
            intent = self.provider.upstream.ask("GET", f"/v1/setup_intents/{session['setup_intent']}")
            self.provider.tell("setup_intent.setup_failed", intent)
        else:
            payment = self._payment_of(session)
            wait = {"status": "requires_payment_method", "last_payment_error": error}
            self.provider.over[payment] = wait
            self.provider.tell("payment_intent.payment_failed", self.provider.get(f"/v1/payment_intents/{payment}"))
        return str(error["message"])

    def _payment_of(self, session: Json) -> str:
        """Made when the first card is tried, as Stripe does."""
        if not session["payment_intent"]:
            form = session["_form"]
            price = form["line_items"][0]["price_data"]
            asked = {
                "amount": price["unit_amount"],
                "currency": price["currency"],
                "customer": session["customer"],
                "metadata": form.get("payment_intent_data", {}).get("metadata"),
            }
            session["payment_intent"] = self.provider.begin_payment(asked)["id"]
        return str(session["payment_intent"])

    def _save(self, session: Json, number: str, year: int, month: int) -> None:
        path = f"/v1/setup_intents/{session['setup_intent']}"
        self.provider.over.pop(session["setup_intent"], None)
        card = {"number": number, "exp_month": month, "exp_year": year, "cvc": "123"}
        data = {"payment_method_data": {"type": "card", "card": card}}
        intent = self.provider.upstream.ask("POST", f"{path}/confirm", data)
        if intent["status"] == "requires_action":  # the bank has confirmed it on our page
            intent = self.provider.upstream.ask("POST", f"{path}/confirm", {})
        attach = f"/v1/payment_methods/{intent['payment_method']}/attach"
        saved = self.provider.upstream.ask("POST", attach, {"customer": session["customer"]})
        self.provider.numbers[saved["id"]] = number
        self.provider.tell("payment_method.attached", saved)
        self.provider.tell("setup_intent.succeeded", intent)

    def _pay(self, session: Json, number: str, year: int, month: int) -> str:
        """Empty, or why not."""
        payment = self._payment_of(session)
        if number == "4000000000000341":
            return self._declined(session, number, "generic_decline")
        card = self.provider.make_card(number, year, month)
        self.provider.pay_again(payment, card)
        if session["_form"].get("payment_intent_data", {}).get("setup_future_usage"):
            self.provider.attach(card, session["customer"])
        session["payment_status"] = "paid"
        return ""
