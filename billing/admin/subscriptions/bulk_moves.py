"""The pages of moves of many subscribers: what the try has found, the confirmation, progress, and outcomes."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from billing.admin.action_pages import ActionPages, confirmed_action, page_action
from billing.admin.base import ModelAdmin, ReadOnly
from billing.admin.invoicing.documents import amount_of
from billing.admin.lists.searching import SHOWN
from billing.admin.subscriptions.moving import MOVE
from billing.api.sentences import to_staff, why_not_moved
from billing.models import BulkMove, BulkMoveItem
from billing.rules.plan_change import blockers
from billing.subscriptions.bulk import moves
from billing.subscriptions.bulk.moves import Tally
from billing.subscriptions.refusals import PlanChangeRefused
from billing.users import fields_of_names

State = BulkMove.State


class Movers:
    """Only who may move subscribers sees that any were moved."""

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("billing.move_subscribers") or request.user.has_perm("billing.view_bulkmove")


@admin.register(BulkMove)
class BulkMoveAdmin(Movers, ReadOnly, ActionPages[BulkMove]):
    """Made by the button on a plan's page, or from chosen subscriptions."""

    list_display = ["pk", "source", "target", "when", "keeps_price", "state_shown", "made_by", "created_at"]
    list_select_related = ["source", "target", "made_by"]
    list_filter = ["source", "target"]
    search_fields = ["reason"]
    actions_detail = ["go", "stop"]
    fieldsets = [
        (None, {"fields": [("source", "target"), ("when", "keeps_price"), "reason", ("made_by", "created_at")]}),
        (
            "State",
            {"fields": [("state_shown", "progress"), ("tried_at", "confirmed_at"), ("stopped_at", "finished_at")]},
        ),
        (
            "What it comes to",
            {"fields": [("moving", "kept"), ("before", "after"), ("credits", "charges"), ("net", "billed")]},
        ),
        ("Not moved", {"fields": ["refused"]}),
    ]
    readonly_fields = [
        *(
            "state_shown",
            "progress",
            "moving",
            "kept",
            "before",
            "after",
            "credits",
            "charges",
            "net",
            "billed",
            "refused",
        )
    ]

    def sensible_actions(self, row: BulkMove) -> set[str]:
        if row.state == State.READY:
            return {"go", "stop"}
        return {"stop"} if row.state in (State.TRYING, State.MOVING) else set()

    @admin.display(description="state")
    def state_shown(self, row: BulkMove) -> str:
        return str(row.state.label)

    state_shown.label = {  # type: ignore[attr-defined]
        State.TRYING.label: "info",
        State.READY.label: "warning",
        State.MOVING.label: "info",
        State.STOPPED.label: "danger",
        State.FINISHED.label: "success",
    }

    @admin.display(description="how far it is; open the page anew to see it go on")
    def progress(self, row: BulkMove) -> str:
        tally = _tally(row)
        return f"{tally.done:,} of {tally.total:,} {'tried' if row.confirmed_at is None else 'done'}"

    @admin.display(description="moved")
    def moving(self, row: BulkMove) -> str:
        url = reverse("admin:billing_bulkmoveitem_changelist")
        return format_html('<a href="{}?move__id__exact={}">{}</a>', url, row.pk, f"{_tally(row).moving:,}")

    @admin.display(description="of them at the price they have")
    def kept(self, row: BulkMove) -> str:
        return f"{_tally(row).kept:,}"

    @admin.display(description="their periods cost before")
    def before(self, row: BulkMove) -> str:
        return amount_of(_tally(row).sums["price_before"], row.source.currency)

    @admin.display(description="… and afterwards")
    def after(self, row: BulkMove) -> str:
        return amount_of(_tally(row).sums["price_after"], row.target.currency)

    def credits(self, row: BulkMove) -> str:
        return amount_of(_tally(row).sums["credit"], row.target.currency)

    def charges(self, row: BulkMove) -> str:
        return amount_of(_tally(row).sums["charge"], row.target.currency)

    def net(self, row: BulkMove) -> str:
        sums = _tally(row).sums
        return amount_of(sums["charge"] - sums["credit"], row.target.currency)

    @admin.display(description="sum of the invoices, after balances")
    def billed(self, row: BulkMove) -> str:
        return amount_of(_tally(row).sums["total"], row.target.currency)

    @admin.display(description="how many, and why", empty_value="nobody")
    def refused(self, row: BulkMove) -> str | None:
        url = reverse("admin:billing_bulkmoveitem_changelist")
        rows = [
            (f"{url}?move__id__exact={row.pk}&refusal__exact={code}", f"{count:,}", why_not_moved(code))
            for code, count in sorted(_tally(row).refused.items())
        ]
        return format_html_join("", '<p><a href="{}">{}</a>: {}</p>', rows) or None

    @page_action("Move them", permission=MOVE, icon="group_work", danger=True)
    def go(self, request: HttpRequest, object_id: str) -> HttpResponse:
        move = self.existing(request, object_id)
        if request.method == "POST":
            try:
                with transaction.atomic():
                    move = moves.confirm(move, timezone.now())
                    self.log_change(request, move, f"Confirmed: {_summary(move)}")
            except PlanChangeRefused as refused:
                return self.back(request, move, to_staff(refused), messages.ERROR)
            return self.back(request, move, "They are being moved. This page shows how far it is.")
        missed = blockers(move.source.capability_codes(), move.target.capability_codes())
        about = {"move": move, "summary": _summary(move), "missed": missed, "is_now": move.when == BulkMove.When.NOW}
        return self.page(request, move, "go.html", f"Move subscribers from {move.source} to {move.target}?", **about)

    @confirmed_action(
        "Stop",
        "Nobody more is moved from now on. Those who were moved stay where they are. It cannot be taken up again.",
        permission=MOVE,
        icon="block",
        danger=True,
    )
    def stop(self, request: HttpRequest, move: BulkMove) -> HttpResponse:
        try:
            with transaction.atomic():
                move = moves.stop(move, timezone.now())
                self.log_change(request, move, "Stopped.")
        except PlanChangeRefused as refused:
            return self.back(request, move, to_staff(refused), messages.ERROR)
        return self.back(request, move, "Stopped.")


@admin.register(BulkMoveItem)
class BulkMoveItemAdmin(Movers, ReadOnly, ModelAdmin[BulkMoveItem]):
    list_display = ["subscription", "outcome_shown", "why", "price_before", "price_after", "invoice", "done_at"]
    list_select_related = ["subscription__account", "subscription__plan", "invoice"]
    list_filter = ["outcome", "foreseen", "move"]
    search_fields = fields_of_names("subscription__account__")
    search_help_text = SHOWN
    by_account = "subscription__account"
    exclude = ["seen"]

    @admin.display(description="outcome")
    def outcome_shown(self, row: BulkMoveItem) -> str:
        if row.outcome or not row.foreseen:
            return str(row.get_outcome_display())
        return f"{row.get_foreseen_display()}, when it was tried"

    @admin.display(description="why not", empty_value="")
    def why(self, row: BulkMoveItem) -> str | None:
        return why_not_moved(row.refusal) if row.refusal else None


def _tally(row: BulkMove) -> Tally:
    """Counted once for a page."""
    known: Any = getattr(row, "_tally", None)
    if known is None:
        known = row._tally = moves.tally(row)  # type: ignore[attr-defined]
    return known  # type: ignore[no-any-return]


def _summary(move: BulkMove) -> str:
    tally = moves.tally(move)
    left = sum(tally.refused.values())
    shown = f"{tally.moving:,} subscriptions, {tally.kept:,} of them at the price they have; {left:,} cannot be moved"
    if move.when != BulkMove.When.NOW:
        return f"{shown}."
    amounts = {name: amount_of(tally.sums[name], move.target.currency) for name in ("credit", "charge", "total")}
    net = amount_of(tally.sums["charge"] - tally.sums["credit"], move.target.currency)
    return f"{shown}. Credits {amounts['credit']}, charges {amounts['charge']}, net {net}; invoices {amounts['total']}."
