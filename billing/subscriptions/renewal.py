"""The close of billing periods: renew, apply what is scheduled, open the next period, issue its invoice; in batches.

The rules are the same for one subscription and for a batch; only the writes are bulk. Safe with several at once: a
batch takes rows that nobody else holds, and a period opens once or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import BooleanField, F, QuerySet
from django.db.models.expressions import RawSQL

from billing.bulk_insert import copy_rows
from billing.catalogue.prices import Prices
from billing.fence import push
from billing.invoicing import issuing
from billing.invoicing.issuing import Bill
from billing.invoicing.review import base_price, issued_today, review_reason
from billing.models import BillingPeriod, Plan, Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record_all
from billing.rules.periods import nth_period
from billing.rules.usage_window import kept_window

logger = logging.getLogger(__name__)
BATCH = 500


@dataclass
class RenewalReport:
    """What a close has done, in subscriptions but for `periods` and `invoices`."""

    renewed: int = 0
    changed: int = 0
    periods: int = 0
    invoices: int = 0
    parked: list[int] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)

    def add(self, other: RenewalReport) -> None:
        self.renewed += other.renewed
        self.changed += other.changed
        self.periods += other.periods
        self.invoices += other.invoices
        self.parked += other.parked
        self.failed |= other.failed


@dataclass(frozen=True, slots=True)
class Renewal:
    """What follows for one subscription: the periods to open, oldest first, and the plan it is on then."""

    subscription: Subscription
    opened: tuple[BillingPeriod, ...]
    plan: Plan
    applies_schedule: bool


def due(now: datetime) -> QuerySet[Subscription]:
    """Subscriptions whose period has ended and that are not parked."""
    return Subscription.objects.filter(status=Subscription.Status.ACTIVE, parked_at=None, period_ends_at__lte=now)


def renew_due(now: datetime, progress: Callable[[int], None] = lambda _: None) -> RenewalReport:
    """Close every period that has ended by `now`. One that fails is reported and does not stop the others."""
    total = RenewalReport()
    last: Subscription | None = None
    while True:
        with transaction.atomic():
            batch = _take(now, last)
            if not batch:
                return total
            # Read before the close moves it on.
            last = Subscription(pk=batch[-1].pk, period_ends_at=batch[-1].period_ends_at)
            done = _close_bisecting(batch, now)
        total.add(done)
        progress(len(batch))


def close(subscriptions: Sequence[Subscription], now: datetime, *, reviewed: bool = False) -> RenewalReport:
    """Close the ended periods of locked subscriptions, in the caller's transaction.

    `reviewed`: staff have looked at what is suspicious about them, so nothing is parked.
    """
    return _write(renewals(subscriptions, now), now, reviewed)


def renewals(subscriptions: Sequence[Subscription], now: datetime) -> list[Renewal]:
    """What a close would do with each of these subscriptions; writes nothing."""
    latest = _latest_periods(subscriptions)
    prices = Prices()
    return [renewal(subscription, latest[subscription.pk], now, prices) for subscription in subscriptions]


def renewal(
    subscription: Subscription, last: BillingPeriod, now: datetime, price_at: Callable[[Plan, datetime], Decimal]
) -> Renewal:
    """The rule: which periods are to be opened by `now`, on which plan, at the price of the moment each one opens.

    Raises ValueError where the next period would leave a gap or overlap the last one.
    """
    plan, scheduled, applies = subscription.plan, subscription.scheduled_plan, False
    opened: list[BillingPeriod] = []
    number, start = last.number, last.ends_at
    while start <= now:
        if scheduled is not None and subscription.scheduled_at is not None and subscription.scheduled_at <= start:
            plan, applies = scheduled, True
        number += 1
        period = nth_period(subscription.anchor, plan.billed_every, number)
        if period.start != start:
            raise ValueError(f"period {number} starts at {period.start}, not where the last one ended, at {start}")
        opened.append(
            BillingPeriod(
                subscription=subscription,
                number=number,
                starts_at=start,
                ends_at=period.end,
                plan=plan,
                price=price_at(plan, start),
                currency=plan.currency,
            )
        )
        start = period.end
    return Renewal(subscription, tuple(opened), plan, applies)


def bills(renewed: Renewal) -> list[Bill]:
    """One for each period that is opened, but for a price of nothing."""
    return [base_price(period) for period in renewed.opened if period.price]


def _take(now: datetime, last: Subscription | None) -> list[Subscription]:
    """Lock the next batch in the order of the index; `last` is where the batch before it ended."""
    rows = due(now).order_by("period_ends_at", "pk")
    if last is not None:
        # As a row value, so that the index is entered where the last batch ended, however many periods end together.
        beyond = "(billing_subscription.period_ends_at, billing_subscription.id) > (%s, %s)"
        rows = rows.filter(RawSQL(beyond, [last.period_ends_at, last.pk], output_field=BooleanField()))
    # A plan is one object for all of its subscribers.
    return list(rows.select_for_update(skip_locked=True).prefetch_related("plan", "scheduled_plan")[:BATCH])


def _close_bisecting(batch: Sequence[Subscription], now: datetime) -> RenewalReport:
    """Close a batch; where it fails, its halves, so that only what is faulty is left behind."""
    try:
        with transaction.atomic():
            return close(batch, now)
    except Exception as error:  # whatever is wrong with one subscription must not stop the others
        if len(batch) == 1:
            logger.exception("the period of subscription %s could not be closed", batch[0].pk)
            return RenewalReport(failed={batch[0].pk: f"{type(error).__name__}: {error}"})
    middle = len(batch) // 2
    done = _close_bisecting(batch[:middle], now)
    done.add(_close_bisecting(batch[middle:], now))
    return done


def _latest_periods(subscriptions: Sequence[Subscription]) -> dict[int, BillingPeriod]:
    ids = [subscription.pk for subscription in subscriptions]
    rows = BillingPeriod.objects.filter(subscription__in=ids, ends_at=F("subscription__period_ends_at"))
    return {row.subscription_id: row for row in rows.order_by().only("subscription_id", "number", "ends_at")}


def _write(renewals: Sequence[Renewal], now: datetime, reviewed: bool) -> RenewalReport:
    today = issued_today([r.subscription.account_id for r in renewals], now)
    sound: list[tuple[Renewal, list[Bill]]] = []
    done = RenewalReport()
    for renewed in renewals:
        of_one = bills(renewed)
        reason = "" if reviewed else review_reason(of_one, today)
        if reason:
            renewed.subscription.park(reason, now)
            done.parked.append(renewed.subscription.pk)
        elif renewed.opened:
            sound.append((renewed, of_one))
    opened = [period for renewed, _ in sound for period in renewed.opened]
    copy_rows(opened)
    _advance([renewed for renewed, _ in sound])
    _record([renewed for renewed, _ in sound])
    issued = issuing.issue([bill for _, of_one in sound for bill in of_one], now)
    done.renewed, done.periods, done.invoices = len(sound), len(opened), len(issued)
    done.changed = sum(renewed.applies_schedule for renewed, _ in sound)
    return done


def _advance(renewals: Sequence[Renewal]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing_subscription AS s SET period_ends_at = n.ends_at"
            " FROM unnest(%s::bigint[], %s::timestamptz[]) AS n (id, ends_at) WHERE s.id = n.id",
            [[r.subscription.pk for r in renewals], [r.opened[-1].ends_at for r in renewals]],
        )
    if changed := [renewed for renewed in renewals if renewed.applies_schedule]:
        _apply_schedules(changed)


def _apply_schedules(changed: Sequence[Renewal]) -> None:
    """A change counts from its own instant, however late the close: a quote made since then holds."""
    rows = [(r.subscription.pk, r.plan.pk, *_window_kept(r.subscription)) for r in changed]
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing_subscription AS s SET plan_id = n.plan_id, scheduled_plan_id = NULL, scheduled_at = NULL,"
            " changed_at = s.scheduled_at, former_quota_window = n.kind, former_quota_window_until = n.until"
            " FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::timestamptz[]) AS n (id, plan_id, kind, until)"
            " WHERE s.id = n.id",
            [list(column) for column in zip(*rows, strict=True)],
        )
    accounts = [renewed.subscription.account_id for renewed in changed]
    transaction.on_commit(lambda: push.push(accounts), robust=True)


def _record(renewals: Sequence[Renewal]) -> None:
    applied, renewed = [], []
    for each in renewals:
        account, ids = each.subscription.account_id, {"subscription": each.subscription.pk}
        if each.applies_schedule:
            plans = {"from_plan": each.subscription.plan.code, "to_plan": each.plan.code}
            applied.append((account, ids | plans))
        renewed += [(account, ids | {"plan": of.plan.code, "period": of.number}) for of in each.opened]
    record_all(Happened.SCHEDULE_APPLIED, applied)
    record_all(Happened.PERIOD_RENEWED, renewed)


def _window_kept(subscription: Subscription) -> tuple[str, datetime]:
    assert subscription.scheduled_at is not None
    return kept_window(subscription, subscription.plan, subscription.scheduled_at - timedelta.resolution)
