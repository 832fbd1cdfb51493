"""A move of many: who is in it, what the try has found, and how staff let it go on or stop it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Count, QuerySet, Sum
from django.utils.functional import cached_property

from billing.models import BulkMove, BulkMoveItem, Plan, Subscription
from billing.models.bulk_moves import BulkMove as Move
from billing.subscriptions.refusals import NotOnSale, PlanChangeRefused

HOLDS_FOR = timedelta(days=1)
"""From the end of the try to the confirmation. Amounts are those of the day on which each is moved."""
ITEMS_AT_ONCE = 5_000
Outcome = BulkMoveItem.Outcome
AMOUNTS = ("price_before", "price_after", "credit", "charge", "total")


class NobodyToMove(PlanChangeRefused):
    """No live subscription is chosen, or none can be moved."""

    code = "nobody_to_move"


class SamePlan(PlanChangeRefused):
    code = "same_plan"


class NotOfThatState(PlanChangeRefused):
    """The move is not (any more) in a state for this. Parameter: the `state`."""

    code = "move_state"


class TriedLongAgo(PlanChangeRefused):
    """Staff have to look at a new try first."""

    code = "tried_long_ago"


@dataclass(frozen=True, slots=True)
class Order:
    """What staff ask for."""

    source: Plan
    target: Plan
    when: str
    """One of BulkMove.When."""
    keeps_price: bool
    reason: str
    made_by: int | None = None
    """The user; None: a command."""


@dataclass(frozen=True)
class Tally:
    """A move in numbers: as it was tried, and from the confirmation on as it is done."""

    move: BulkMove
    waiting: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """By outcome."""
    refused: dict[str, int] = field(default_factory=dict)
    """By the code of the refusal."""
    kept: int = 0
    """Of those that are moved or scheduled, those that go on at their price."""
    sums: dict[str, Decimal] = field(default_factory=dict)
    """Of those that are moved or scheduled, by AMOUNTS: `price_before` in the source's currency."""

    @property
    def total(self) -> int:
        return self.waiting + self.done

    @property
    def done(self) -> int:
        return sum(self.counts.values())

    @cached_property
    def moving(self) -> int:
        return self.counts.get(Outcome.MOVED, 0) + self.counts.get(Outcome.SCHEDULED, 0)


def begin(order: Order, now: datetime, chosen: Collection[int] | None = None) -> BulkMove:
    """Write down a move of all live subscriptions of the source, or of those of them that are `chosen`.

    Nothing is moved before it was tried and confirmed. Raises SamePlan, NotOnSale for the target, NobodyToMove.
    """
    if order.source.pk == order.target.pk:
        raise SamePlan
    if not order.target.is_on_sale:
        raise NotOnSale
    rows = Subscription.objects.live().filter(plan=order.source).order_by("pk")
    if chosen is not None:
        rows = rows.filter(pk__in=chosen)
    with transaction.atomic():
        move = BulkMove.objects.create(
            source=order.source,
            target=order.target,
            when=order.when,
            keeps_price=order.keeps_price,
            reason=order.reason,
            made_by_id=order.made_by,
            created_at=now,
        )
        items = [BulkMoveItem(move=move, subscription_id=pk) for pk in rows.values_list("pk", flat=True)]
        if not items:
            raise NobodyToMove
        BulkMoveItem.objects.bulk_create(items, batch_size=ITEMS_AT_ONCE)
    return move


def confirm(move: BulkMove, now: datetime) -> BulkMove:
    """Let a move that was tried be done. Whoever could not be moved then is left as he is.

    Raises NotOfThatState, TriedLongAgo, NobodyToMove.
    """
    with transaction.atomic():
        held = _held(move, Move.State.READY)
        assert held.tried_at is not None
        if now - held.tried_at > HOLDS_FOR:
            raise TriedLongAgo
        if not held.items.exclude(foreseen=Outcome.REFUSED).exists():
            raise NobodyToMove
        held.items.filter(foreseen=Outcome.REFUSED).update(outcome=Outcome.REFUSED, done_at=now)
        held.confirmed_at = now
        held.save(update_fields=["confirmed_at"])
    return held


def stop(move: BulkMove, now: datetime) -> BulkMove:
    """Move nobody more; it acts before the next one, and those that were moved stay there. Raises NotOfThatState."""
    with transaction.atomic():
        held = _held(move, Move.State.TRYING, Move.State.READY, Move.State.MOVING)
        held.stopped_at = now
        held.save(update_fields=["stopped_at"])
    return held


def unfinished() -> QuerySet[BulkMove]:
    """Those that wait for a worker, oldest first."""
    rows = BulkMove.objects.filter(finished_at=None, stopped_at=None).order_by("pk")
    return rows.exclude(tried_at__isnull=False, confirmed_at__isnull=True)


def tally(move: BulkMove) -> Tally:
    """Of a stopped move: of what was done before, or of the try where it was not confirmed."""
    seen = "foreseen" if move.confirmed_at is None else "outcome"
    counts = dict(move.items.order_by().values_list(seen).annotate(Count("pk")))
    going = move.items.filter(**{f"{seen}__in": [Outcome.MOVED, Outcome.SCHEDULED]})
    sums = going.aggregate(**{name: Sum(name, default=Decimal(0)) for name in AMOUNTS})
    refused = move.items.filter(**{seen: Outcome.REFUSED}).order_by().values_list("refusal").annotate(Count("pk"))
    waiting = counts.pop(Outcome.WAITING, 0)
    return Tally(move, waiting, counts, dict(refused), going.filter(keeps_price=True).count(), sums)


def _held(move: BulkMove, *states: Move.State) -> BulkMove:
    held = BulkMove.objects.select_for_update(of=("self",)).select_related("source", "target").get(pk=move.pk)
    if held.state not in states:
        raise NotOfThatState(state=held.state.label)
    return held
