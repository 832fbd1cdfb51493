"""What staff do about the money of a customer: note what came for no invoice in particular, and what was paid out."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from billing.admin.action_pages import page_action
from billing.admin.base import once
from billing.admin.invoicing.documents import amount_of
from billing.admin.money.forms import MoneyForm, PayOutForm
from billing.admin.money.previewed import Done, PreviewedActions
from billing.api.payments.money_said import where_it_lies
from billing.invoicing import ledger
from billing.models import MoneyIn, Refund
from billing.models.payments.money import MANUAL
from billing.payments.receive import receive
from billing.payments.refunds import note_paid_out
from billing.rules.money import in_currency
from billing.users import User

MAY_CHANGE = "change_invoices"


class MoneyActions(PreviewedActions[User]):
    @page_action("Note money received", permission=MAY_CHANGE, icon="add_card")
    def receive_money(self, request: HttpRequest, object_id: str) -> HttpResponse:
        user, now = self.existing(request, object_id), timezone.now()

        def note(given: dict[str, Any]) -> Done:
            known = MoneyIn.objects.filter(source=MANUAL, reference=given["reference"]).exists()
            money = receive(
                user.pk,
                given["currency"],
                given["amount"],
                MANUAL,
                given["reference"],
                given["received_on"],
                now,
            )
            return received(money, known=known)

        return self.previewed(
            request,
            user,
            MoneyForm(request.POST or None, initial={"received_on": now.date()}),
            note,
            title=f"Note money that {user} has sent",
            button="Note it",
            about="It settles the customer's open invoices of its currency, oldest first. The rest becomes balance. "
            "Of money for one invoice, use the invoice's own page.",
        )

    @page_action("Note a pay-out", permission=MAY_CHANGE, icon="output")
    def pay_out(self, request: HttpRequest, object_id: str) -> HttpResponse:
        user, now = self.existing(request, object_id), timezone.now()
        owed = {code: amount for code, amount in balances_of(user).items() if amount > 0}

        def note(given: dict[str, Any]) -> Done:
            known = Refund.objects.filter(provider=MANUAL, reference=given["reference"]).exists()
            refund = note_paid_out(
                user.pk, given["currency"], given["amount"], given["reference"], given["reason"], now
            )
            paid = f"{amount_of(refund.amount, refund.currency)} paid out ({refund.reference})"
            if known:
                return Done(f"{paid} was noted before; nothing was added.", is_plain=True, is_news=False)
            left = amount_of(ledger.balance(user.pk, refund.currency), refund.currency)
            return Done(f"{paid}, {left} left on the balance: {refund.reason}")

        first = next(iter(owed.items()), ("", 0))
        return self.previewed(
            request,
            user,
            PayOutForm(
                request.POST or None,
                balances=[(code, amount_of(amount, code)) for code, amount in owed.items()],
                initial={"amount": in_currency(first[1], first[0]) if first[0] else None},
            ),
            note,
            title=f"Note that balance was paid out to {user}",
            button="Note it",
            about="Pay it first, such as by bank transfer. What is to be refunded of an invoice is credited before, on "
            "the invoice's page: the credit becomes balance.",
        )


def balances_of(user: User) -> dict[str, Decimal]:
    """By currency, read once for a page that is looked at."""
    found: Mapping[tuple[int, str], Decimal] = once(user, "balances", lambda: ledger.balances([user.pk]))
    return {currency: amount for (_, currency), amount in sorted(found.items())}


def received(money: MoneyIn, *, known: bool) -> Done:
    """What is told of money that was noted."""
    said = f"{amount_of(money.amount, money.currency)} received ({money.reference})"
    went = where_it_lies(money) or "all of it was taken back"
    if known:
        return Done(f"{said} was recorded before; nothing was added. It went: {went}.", is_plain=True, is_news=False)
    return Done(f"{said}: {went}.")
