"""Works a move off: each subscription by itself, in a transaction with its item, so it is moved once whoever is killed.

Several workers may be at one move: each takes items that no other holds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import QuerySet

from billing.models import BillingPeriod, BulkMove, BulkMoveItem, Plan, Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.money import in_currency
from billing.rules.refused import Refused
from billing.subscriptions import changes, quotes
from billing.subscriptions.coupons import discounts
from billing.subscriptions.refusals import NotOnSale, PlanChangeRefused

logger = logging.getLogger(__name__)
BATCH = 500
Outcome = BulkMoveItem.Outcome
State = BulkMove.State
NO_DATABASE = (OperationalError, InterfaceError)


class Changed(PlanChangeRefused):
    """The subscription, or a price, is not what the try has seen; or it has left the plan."""

    code = "changed"


class Ending(PlanChangeRefused):
    """It ends with its period: it was canceled, or its user is deactivated."""

    code = "ending"


class AnotherFollows(PlanChangeRefused):
    """Another change is scheduled for it."""

    code = "another_follows"


class PriceNotComparable(PlanChangeRefused):
    """Its price cannot be kept: the target is sold in another currency or interval."""

    code = "price_not_comparable"


def work_off(
    move: BulkMove,
    clock: Callable[[], datetime],
    until: datetime | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> bool:
    """Try the subscriptions of a move, or move them once it is confirmed, as long as any waits.

    `progress` is called with how many were done. False where some wait still: `until` has come, or others are at them.
    """
    while True:
        move.refresh_from_db()
        if move.state not in (State.TRYING, State.MOVING):
            return True
        waiting = list(_waiting(move).values_list("pk", flat=True)[:BATCH])
        if not waiting:
            _close(move, clock())
            return True
        done = 0
        for pk in waiting:
            if until is not None and clock() >= until:
                return False
            done += (taken := _take(move, pk, clock()))
            progress(taken)
        if not done:
            return False


def _waiting(move: BulkMove) -> QuerySet[BulkMoveItem]:
    """Those of a move that was stopped do not wait."""
    rows = BulkMoveItem.objects.filter(move=move, move__stopped_at=None).order_by("pk")
    return rows.filter(foreseen="") if move.confirmed_at is None else rows.filter(outcome="")


def _close(move: BulkMove, now: datetime) -> None:
    column = "tried_at" if move.confirmed_at is None else "finished_at"
    BulkMove.objects.filter(pk=move.pk, stopped_at=None, **{column: None}).update(**{column: now})
    move.refresh_from_db()


def _take(move: BulkMove, pk: int, now: datetime) -> bool:
    """Try or move one; False where another worker has it, or had it, or the move was stopped."""
    with transaction.atomic():
        rows = _waiting(move).select_related("subscription")
        item = rows.select_for_update(skip_locked=True, of=("self",)).filter(pk=pk).first()
        if item is None:
            return False
        if move.confirmed_at is None:
            _try(move, item, now)
        else:
            _do(move, item, now)
    return True


def _try(move: BulkMove, item: BulkMoveItem, now: datetime) -> None:
    item.tried_at = now
    try:
        with transaction.atomic():
            _move(move, item, now)
            item.foreseen, item.invoice = _outcome(move), None
            transaction.set_rollback(True)
    except Exception as error:
        item.foreseen, item.refusal = Outcome.REFUSED, _refusal(item, error)
    item.save()


def _do(move: BulkMove, item: BulkMoveItem, now: datetime) -> None:
    item.done_at = now
    try:
        with transaction.atomic():
            subscription = _move(move, item, now)
            item.outcome = _outcome(move)
            _log(move, subscription)
    except Exception as error:
        item.outcome, item.refusal, item.invoice = Outcome.REFUSED, _refusal(item, error), None
    item.save()


def _outcome(move: BulkMove) -> BulkMoveItem.Outcome:
    return Outcome.MOVED if move.when == BulkMove.When.NOW else Outcome.SCHEDULED


def _refusal(item: BulkMoveItem, error: Exception) -> str:
    """Its code. What is wrong with one must not stop the others; but without a database nobody is refused."""
    if isinstance(error, NO_DATABASE):
        raise error
    if not isinstance(error, Refused):
        logger.error("subscription %s could not be moved", item.subscription_id, exc_info=error)
        return "failed"
    reason = error.parameters.get("reason")
    return f"{error.code}.{reason}" if reason else error.code


def _move(move: BulkMove, item: BulkMoveItem, now: datetime) -> Subscription:
    """Move one in the caller's transaction, and note in the item what that came to."""
    account = item.subscription.account_id
    target = Plan.objects.get(pk=move.target_id)
    if not target.is_on_sale:
        raise NotOnSale
    subscription = changes.locked(account, now)
    if subscription.pk != item.subscription_id or subscription.plan_id != move.source_id:
        raise Changed
    if subscription.ends_at is not None:
        raise Ending
    if subscription.scheduled_plan_id is not None:
        raise AnotherFollows
    period = subscription.current_period()
    seen = _seen(subscription, period, target)
    if item.seen not in ("", seen):
        raise Changed
    kept = _kept(move, period, target)
    item.seen, item.keeps_price = seen, kept is not None
    item.price_before = period.price
    item.price_after = target.price if kept is None else kept
    if move.when == BulkMove.When.NOW:
        _move_now(item, quotes.quote(period, target, now, kept), kept, now)
    else:
        subscription.schedule(target, period.ends_at, now, kept)
        record(Happened.CHANGE_SCHEDULED, account, subscription=subscription.pk, plan=target.code)
    return subscription


def _move_now(item: BulkMoveItem, quote: quotes.Quote, kept: Decimal | None, now: datetime) -> None:
    changed = changes.change_now(quote, now, kept_price=kept)
    proration = changed.proration
    item.credit, item.charge = proration.credit, proration.charge - proration.discount
    item.invoice, item.total = changed.invoice, changed.invoice.total if changed.invoice else Decimal(0)


def _kept(move: BulkMove, period: BillingPeriod, target: Plan) -> Decimal | None:
    """The price that goes on: of whoever pays less than the target costs."""
    if not move.keeps_price:
        return None
    if (period.currency, period.plan.interval) != (target.currency, target.interval):
        raise PriceNotComparable
    price = period.terms.price  # of a trial that of its plan
    return price if price < target.price else None


def _seen(subscription: Subscription, period: BillingPeriod, target: Plan) -> str:
    """Equal while neither the subscription has changed nor a price or coupon. The amounts move on with the days."""
    redemption = discounts.active(subscription.account_id)
    return quotes.digest_of(
        (subscription.pk, subscription.changed_at.isoformat(), subscription.cancel_at, period.number),
        (period.coupon_id, redemption.pk if redemption else None),
        (in_currency(period.price, period.currency), in_currency(target.price, target.currency)),
    )


def _log(move: BulkMove, subscription: Subscription) -> None:
    """On the subscription's history page, as a single change is."""
    if move.made_by_id is None:
        return
    LogEntry.objects.create(
        user_id=move.made_by_id,
        content_type=ContentType.objects.get_for_model(Subscription),
        object_id=str(subscription.pk),
        object_repr=str(subscription)[:200],
        action_flag=CHANGE,
        change_message=f"Move {move.pk} from {move.source} to {move.target}, {move.get_when_display()}: {move.reason}",
    )
