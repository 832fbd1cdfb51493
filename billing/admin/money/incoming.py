"""Admin pages of money that came in: where it went, and how it is taken back or moved."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from billing.admin.action_pages import page_action
from billing.admin.base import ModelAdmin, ReadOnly, TabularInline, once, shown_once
from billing.admin.invoicing.documents import amount_of
from billing.admin.lists.ranges import Days
from billing.admin.lists.searching import SHOWN
from billing.admin.money.forms import MoveForm, ReversalForm
from billing.admin.money.previewed import Done, PreviewedActions
from billing.api.payments.money_said import where_it_lies
from billing.invoicing import ledger
from billing.invoicing.ledger import BillingError
from billing.models import Invoice, MoneyIn, Payment, Reversal
from billing.models.payments.money import MANUAL
from billing.payments import reversals
from billing.payments.correction import move
from billing.payments.unplaced import unplaced
from billing.rules.money import in_currency
from billing.users import by_name

MAY_CHANGE = "change_invoices"


class Placed(admin.SimpleListFilter):
    title = "placed"
    parameter_name = "placed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "no: on a balance that no invoice is going to use")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(pk__in=unplaced().values("pk")) if self.value() == "no" else queryset


class Sources(admin.SimpleListFilter):
    """By hand, or not: providers and chains are many, and a search finds theirs by reference."""

    title = "source"
    parameter_name = "by"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("hand", "noted by hand"), ("provider", "told by a provider")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "hand":
            return queryset.filter(source=MANUAL)
        return queryset.exclude(source=MANUAL) if self.value() == "provider" else queryset


class PartInline(ReadOnly, TabularInline[Payment, MoneyIn]):
    model = Payment
    extra = 0
    hide_title = True
    verbose_name_plural = "what invoices got of it; below zero, what was taken back"
    fields = ["paid_at", "invoice", "amount_shown", "reference"]
    readonly_fields = ["amount_shown"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Payment]:
        return super().get_queryset(request).select_related("invoice").order_by("pk")

    @admin.display(description="amount")
    def amount_shown(self, row: Payment) -> str:
        return amount_of(row.amount, row.invoice.currency)


class ReversalInline(ReadOnly, TabularInline[Reversal, MoneyIn]):
    model = Reversal
    extra = 0
    hide_title = True
    fields = ["reversed_at", "amount_shown", "from_balance_shown", "reason", "reference"]
    readonly_fields = ["amount_shown", "from_balance_shown"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Reversal]:
        return super().get_queryset(request).select_related("money_in")

    @admin.display(description="amount")
    def amount_shown(self, row: Reversal) -> str:
        return amount_of(row.amount, row.money_in.currency)

    @admin.display(description="of it off the balance")
    def from_balance_shown(self, row: Reversal) -> str:
        return amount_of(row.from_balance, row.money_in.currency)


@admin.register(MoneyIn)
class MoneyInAdmin(ReadOnly, PreviewedActions[MoneyIn], ModelAdmin[MoneyIn]):
    """Written by billing.payments.receive alone."""

    actions_detail = ["reverse", "move"]
    list_display = ["reference", "account", "source", "amount_shown", "to_balance_shown", "received_at"]
    list_display_links = ["reference"]
    list_select_related = ["account"]
    sortable_by = ["received_at"]
    search_fields = ["reference", "invoice__number"]
    search_help_text = f"Reference, invoice that it was sent for. {SHOWN}"
    by_account = "account"
    summed = ("amount", "to_balance")
    exported = ("currency", "amount", "to_balance", "source")
    list_filter = [Placed, Sources, ("received_at", Days)]
    ordering = ["-received_at", "-pk"]
    inlines = [PartInline, ReversalInline]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("account", "source", "reference"),
                    ("received_at", "recorded_at", "invoice"),
                    ("amount_shown", "to_balance_shown", "left_shown"),
                    "lies_shown",
                ]
            },
        ),
    ]
    readonly_fields = ["amount_shown", "to_balance_shown", "left_shown", "lies_shown"]

    def sensible_actions(self, row: MoneyIn) -> set[str]:
        if not once(row, "left", lambda: reversals.left(row)):
            return set()
        return {"reverse", "move"} if row.source == MANUAL else {"reverse"}

    @admin.display(description="amount", ordering="amount")
    def amount_shown(self, row: MoneyIn) -> str:
        return amount_of(row.amount, row.currency)

    @admin.display(description="to the balance")
    def to_balance_shown(self, row: MoneyIn) -> str:
        return amount_of(row.to_balance, row.currency)

    @admin.display(description="not taken back")
    @shown_once
    def left_shown(self, row: MoneyIn) -> str:
        return amount_of(reversals.left(row), row.currency)

    @admin.display(description="where it lies")
    @shown_once
    def lies_shown(self, row: MoneyIn) -> str:
        return where_it_lies(row) or "nowhere: all of it was taken back"

    @page_action("Take it back", permission=MAY_CHANGE, icon="undo", danger=True)
    def reverse(self, request: HttpRequest, object_id: str) -> HttpResponse:
        money, now = self.existing(request, object_id), timezone.now()
        left = in_currency(reversals.left(money), money.currency)

        def take_back(given: dict[str, Any]) -> Done:
            known = money.reversals.filter(reference=given["reference"]).exists()
            reversal = reversals.reverse(money, given["amount"], given["reason"], given["reference"], now)
            if known:
                return Done("It was taken back before; nothing was added.", is_plain=True, is_news=False)
            return Done(taken_back(reversal))

        return self.previewed(
            request,
            money,
            ReversalForm(request.POST or None, initial={"amount": left}, currency=money.currency),
            take_back,
            title=f"Take back {money}?",
            button="Take it back",
            about=f"{amount_of(left, money.currency)} of {money.account}'s money is left: {where_it_lies(money)}. What "
            "is taken back is due again. Do it when the money has left your account, or never came.",
        )

    @page_action("Record it elsewhere", permission=MAY_CHANGE, icon="move_item")
    def move(self, request: HttpRequest, object_id: str) -> HttpResponse:
        money, now = self.existing(request, object_id), timezone.now()

        def record(given: dict[str, Any]) -> Done:
            account, invoice = _owner(given["to"])
            moved = move(money, account, given["reason"], now, invoice)
            back = Reversal.objects.get(money_in=money, reference="moved")
            return Done(f"{taken_back(back)} Recorded again for {moved.account}: {where_it_lies(moved)}.")

        return self.previewed(
            request,
            money,
            MoveForm(request.POST or None),
            record,
            title=f"Record {money} elsewhere?",
            button="Record it there",
            about=f"It was recorded for {money.account}: {where_it_lies(money)}. There it is taken back, with the "
            "reason, and what it settled is due again.",
        )


def taken_back(reversal: Reversal) -> str:
    """What a reversal did, in a sentence."""
    money = reversal.money_in
    parts = [f"{amount_of(-row.amount, money.currency)} off {row.invoice}" for row in reversal.payments.all()]
    if reversal.from_balance:
        balance = amount_of(ledger.balance(money.account_id, money.currency), money.currency)
        parts.append(f"{amount_of(reversal.from_balance, money.currency)} off the balance, which is {balance} then")
    return f"{amount_of(reversal.amount, money.currency)} taken back ({reversal.reason}): {', '.join(parts)}."


def _owner(to: str) -> tuple[int, Invoice | None]:
    """The account, and the invoice where one was named. Raises BillingError."""
    invoice = Invoice.objects.issued().filter(number=to.strip().upper()).first()
    if invoice is not None:
        return invoice.account_id, invoice
    user = by_name(to.strip())
    if user is None:
        raise BillingError("nowhere", to=to)
    return user.pk, None
