"""Random histories of one customer who pays by card, with faults; and what must hold after each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

from django.db import connection, transaction

from billing.invoicing import credit_notes
from billing.invoicing.ledger import BillingError
from billing.models import Invoice, MoneyIn, PaymentAttempt, PaymentMethod, Refund
from billing.payments.cards import refunds
from billing.payments.cards.answers import Answered, ChargeState
from billing.payments.cards.charging import automatic, paying
from billing.payments.cards.charging.pages import Ways
from billing.payments.cards.objects import OBJECT_TYPES
from billing.payments.receive import receive
from tests.billing.ledger import assert_explained
from tests.billing.payments.cards.buyer import DAY, Buyer
from tests.billing.payments.money import invoiced
from tests.servers.card.running import CONFIRMED_ALWAYS, VISA

WAYS = Ways("http://site.example/paid/?page={page}", "http://site.example/pay/")
FAULTS = ("refuse", "lose", "error")
ASKED = ("POST /v1/payment_intents$", "GET /v1/payment_intents", "POST /v1/refunds$", "POST /v1/checkout", "GET /v1/")
CODES = ("insufficient_funds", "generic_decline", "lost_card", "authentication_required", "")


class Killed(BaseException):
    """As by kill -9: no handler of the program's catches it."""


class History:
    """Each step is as likely as its weight; `faulty` steps may be cut short anywhere by `Killed`."""

    def __init__(self, buyer: Buyer, seed: int) -> None:
        self.buyer, self.random, self.now = buyer, Random(seed), buyer.now
        self.subscription = buyer.invoice.subscription
        self.pages: list[str] = []
        self.log: list[str] = []

    def run(self, steps: int) -> None:
        for _ in range(steps):
            step = self.random.choice(self._steps())
            self.now += timedelta(seconds=self.random.choice([1, 90, 700]))
            self.log.append(step.__name__)
            try:
                with self._maybe_killed():
                    step()
            except (Killed, BillingError) as ended:
                self.log.append(type(ended).__name__)

    def heal(self) -> None:
        """Nothing fails any more: the beat and the provider's events find out what is not known."""
        self.buyer.server.forget_faults()
        for _ in range(3):
            self.now += timedelta(minutes=15)
            self.buyer.beat(self.now)
            self._tell()

    def check(self) -> None:
        assert_explained(self.subscription)
        at_provider = self._charges()
        paid = {charge.reference: charge.amount for charge in at_provider if charge.state == ChargeState.SUCCEEDED}
        came = dict(MoneyIn.objects.filter(source="stripe").values_list("reference", "amount"))
        assert paid == came, "law M2"
        for attempt in PaymentAttempt.objects.filter(account=self.buyer.account):
            mine = [charge for charge in at_provider if charge.attempt == str(attempt.pk) and charge.reference in paid]
            assert len(mine) == (attempt.state == "succeeded"), "one attempt, one charge"
            assert attempt.state not in ("created", "sent", "unknown"), "every outcome is found out"
        given = {charge.reference: charge.refunded for charge in at_provider if charge.refunded}
        noted: dict[str, Decimal] = {}
        for row in Refund.objects.exclude(state="failed").select_related("money_in"):
            assert row.state == "succeeded" and row.money_in is not None
            noted[row.money_in.reference] = noted.get(row.money_in.reference, Decimal(0)) + row.amount
        assert given == noted

    def _steps(self) -> list[Callable[[], Any]]:
        often = [*[self._issue] * 4, self._charge, self._beat, self._beat, self._tell, self._fault, self._fault]
        return [
            *often,
            self._card,
            self._another_card,
            self._pay,
            self._fill_in,
            self._by_hand,
            self._void,
            self._refund,
        ]

    @contextmanager
    def _maybe_killed(self) -> Iterator[None]:
        left = self.random.choice([self.random.randint(1, 40), 10**6, 10**6])

        def count(execute: Callable[..., Any], *args: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return execute(*args)

        with connection.execute_wrapper(count):
            yield

    def _invoice(self) -> Invoice:
        return self.random.choice(list(Invoice.objects.filter(account=self.buyer.account)))

    def _issue(self) -> None:
        with transaction.atomic():
            invoice = invoiced(self.subscription, self.random.randint(1, 200), f"{self.now:%Y-%m-%d %H:%M:%S}")
        automatic.charge_issued(self.buyer.gateway, invoice, self.now)

    def _charge(self) -> None:
        automatic.charge_issued(self.buyer.gateway, self._invoice(), self.now)

    def _beat(self) -> None:
        self.now += self.random.choice([timedelta(0), DAY, 2 * DAY])
        self.buyer.beat(self.now)

    def _tell(self) -> None:
        """Events doubled, left out and in any order; one that cannot be fetched is told again later."""
        events = self.buyer.gateway.events_since(self.buyer.now - DAY)
        if not isinstance(events, Answered):
            return
        told = [event for event in events.value if event.object_type in OBJECT_TYPES and "payment_m" not in event.type]
        for event in self.random.choices(told, k=2 * len(told)) if self.log else told:
            kind = OBJECT_TYPES[event.object_type]
            found = kind.fetch(self.buyer.gateway, event.object_reference)
            if isinstance(found, Answered):
                kind.apply(self.buyer.gateway, found.value, self.now)

    def _fault(self) -> None:
        kind, path = self.random.choice(FAULTS), self.random.choice(ASKED)
        self.buyer.server.fault(kind, path, times=self.random.randint(1, 3))

    def _card(self) -> PaymentMethod:
        card = self.buyer.card(self.random.choice([VISA, VISA, CONFIRMED_ALWAYS]))
        self.buyer.server.decline(card=card.reference, code=self.random.choice(CODES))
        return card

    def _another_card(self) -> None:
        card = self._card()
        for attempt in automatic.begin_with(self.buyer.gateway, card, self.now):
            automatic.send(self.buyer.gateway, attempt, self.now)

    def _pay(self) -> None:
        pay = self.random.choice([paying.pay, paying.by_page])
        chosen: tuple[Any, ...] = (None,) if pay is paying.pay else ()
        paid = pay(self.buyer.gateway, self._invoice(), *chosen, WAYS, self.now)
        self.pages += [paid.url] if paid.url else []

    def _fill_in(self) -> None:
        if self.pages:
            self.buyer.server.fill_in(self.random.choice(self.pages), VISA)

    def _by_hand(self) -> None:
        invoice = self._invoice()
        amount = Decimal(self.random.randint(1, 60))
        receive(self.buyer.account, "USD", amount, "bank", f"{len(self.log)}", self.now, self.now, invoice)

    def _void(self) -> None:
        credit_notes.void(self._invoice(), self.now)

    def _refund(self) -> None:
        amount = Decimal(self.random.randint(1, 50))
        refunds.refund(self.buyer.gateway, self._invoice(), amount, "asked for", self.now)

    def _charges(self) -> list[Any]:
        references = {
            event.object_reference
            for event in self.buyer.gateway.events_since(self.buyer.now - DAY).value  # type: ignore[union-attr]
            if event.object_type == "payment_intent"
        }
        return [self.buyer.gateway.fetch_charge(each).value for each in sorted(references)]  # type: ignore[union-attr]
