"""Admin pages of reservations: what agents hold, and what became of it."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from billing.admin.action_pages import ActionPages, confirmed_action
from billing.admin.base import ReadOnly, shown_once
from billing.admin.lists.changelist import Rows
from billing.admin.lists.ranges import Days
from billing.admin.lists.searching import SHOWN, found
from ratelimit.servers.single import RedisUnreachable
from usage.drain import drain
from usage.metering.reservations import finishing
from usage.metering.reservations.ends import ABORTED, Report
from usage.metering.reservations.held import find
from usage.metering.reservations.refusals import ChildrenOpen, NotFound, Over
from usage.metering.reservations.standing import expiries
from usage.models import Reservation

OPEN, EXPIRED = Reservation.State.OPEN, Reservation.State.EXPIRED
COLOURS = {OPEN: "info", "settled": "success", "released": "success", EXPIRED: "danger"}


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*((str(value), str(label)) for value, label in Reservation.State.choices)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Reservation]) -> QuerySet[Reservation]:
        return queryset.filter(state=self.value()) if self.value() else queryset


class UncollectedFilter(admin.SimpleListFilter):
    title = "tokens uncollected"
    parameter_name = "uncollected"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Some")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Reservation]) -> QuerySet[Reservation]:
        return queryset.filter(uncollected__gt=0) if self.value() == "yes" else queryset


class ReservationList(Rows):
    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Reservation]) -> Any:
        """By the index of what is filtered: any other order would sort all rows."""
        state = self.params.get("state") or [""]
        if state in (OPEN, [OPEN]):
            return ["expires_at", "pk"]
        if state != [""] or self.params.get("uncollected"):
            return ["-finished_at", "pk"]
        return ["-pk"]


@admin.register(Reservation)
class ReservationAdmin(ReadOnly, ActionPages[Reservation]):
    """Looked at, and ended where nobody else does. Their rows follow from the log."""

    list_display = [
        "opened",
        "account",
        "state_shown",
        "feature",
        "model",
        "run",
        "bound",
        "charged",
        "uncollected",
        "expires",
    ]
    list_display_links = ["opened"]
    list_filter = [StateFilter, UncollectedFilter, ("opened_at", Days), ("finished_at", Days)]
    exported = ("id", "account_id", "parent_id", "key_prefix", "outcome", "estimated", "finished_at")
    summed = ("bound", "charged", "uncollected")
    currency_path = ""
    list_fullwidth = True
    sortable_by = ()
    search_fields = ["run"]
    search_help_text = f"Run or reservation, as they are. {SHOWN}"
    by_account = "account"
    fieldsets = [
        (None, {"fields": [("account", "state_shown", "outcome"), ("feature", "model"), ("run", "key_prefix")]}),
        ("Tokens", {"fields": [("bound", "charged"), ("uncollected", "estimated"), "units"]}),
        ("Time", {"fields": [("opened_at", "held_until", "finished_at")]}),
        ("In the log", {"fields": [("id", "parent_id")]}),
    ]
    readonly_fields = ["state_shown", "held_until"]
    actions_detail = ["end"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ReservationList]:
        return ReservationList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Reservation]:
        # Fetched beside the page and not joined: reservations outlive their users.
        return super().get_queryset(request).prefetch_related("account")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Reservation], search_term: str
    ) -> tuple[QuerySet[Reservation], bool]:
        term = search_term.strip()
        try:
            one = uuid.UUID(term)
        except ValueError:
            return found(queryset, term, self.by_account, self.search_fields), False
        return queryset.filter(pk=one), False

    # A method instead of the permission's name: that one Unfold looks up in the database whenever Django checks itself.
    def has_end_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Who may give a customer's quota anew may give back what a reservation holds of it."""
        return bool(request.user.has_perm("usage.add_usagereset"))

    def sensible_actions(self, row: Reservation) -> set[str]:
        return {"end"} if row.state == OPEN else set()

    @confirmed_action(
        "End it now",
        "It is charged what its last heartbeat told, or nothing where there was none; the rest is given back. An agent "
        "that still works on it is told that it is over.",
        permission="end",
        icon="stop_circle",
        danger=True,
    )
    def end(self, request: HttpRequest, row: Reservation) -> HttpResponse:
        now = timezone.now()
        try:
            held = find(row.account_id, str(row.pk))
            done = finishing.expire(held, now) or finishing.settle(held, Report(None, ABORTED), now)
        except ChildrenOpen as refused:
            text = f"{refused.parameters['open']} of its children are open. End them first."
            return self.back(request, row, text, messages.ERROR)
        except Over as over:
            text = (
                f"It was {over.parameters['state']} before, and charged {over.parameters['tokens_charged']:,} tokens."
            )
            return self.back(request, row, text, messages.WARNING)
        except (NotFound, RedisUnreachable, drain.Behind):
            text = "It cannot be ended at the moment: Redis or the log does not answer. Try again."
            return self.back(request, row, text, messages.ERROR)
        self.log_change(request, row, f"Ended: {done.state}, charged {done.charged}.")
        self._follow(row)
        return self.back(request, row, f"{row}: {done.state}, {done.charged:,} charged, {done.released:,} given back.")

    def _follow(self, row: Reservation) -> None:
        """So that the page that comes next shows the end."""
        try:
            drain.catch_up(row.account_id)
        except (drain.Behind, RedisUnreachable):
            return  # the row follows by itself

    @admin.display(description="opened (UTC)")
    def opened(self, row: Reservation) -> str:
        return f"{row.opened_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="state")
    def state_shown(self, row: Reservation) -> str:
        return row.state

    state_shown.label = COLOURS  # type: ignore[attr-defined]

    @admin.display(description="expires (UTC)")
    def expires(self, row: Reservation) -> str:
        """As it was opened: the row's page asks Redis what heartbeats made of it."""
        return "" if row.state != OPEN else f"{row.expires_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="held until")
    @shown_once
    def held_until(self, row: Reservation) -> str:
        at = row.expires_at if row.state != OPEN else expiries([row])[row.pk]
        return f"{at:%Y-%m-%d %H:%M:%S}"
