"""Renewal of subscriptions whose period has ended: open the next period and issue its invoice, or end them.

The rules are the same for one subscription and for a batch; only the writes are bulk. Several processes may renew at
once: a batch takes rows that no other transaction holds, and a period opens once or not at all.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial

from django.db import connection, transaction
from django.db.models import BooleanField, F
from django.db.models.expressions import RawSQL

from billing.bulk_insert import copy_rows, reserve_ids
from billing.catalogue.prices import Prices
from billing.fence import push
from billing.invoicing import issuing, taxation
from billing.invoicing.bills import Bill, base_price, to_issue
from billing.invoicing.review import issued_today, review_reason
from billing.models import BillingPeriod, Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record_all
from billing.postgres.any_of import any_of
from billing.postgres.clock import check_clock
from billing.rules.usage_window import kept_window
from billing.subscriptions import trials
from billing.subscriptions.coupons import discounts
from billing.subscriptions.overage.arrears import Arrears
from billing.subscriptions.overage.parts import bill_parts
from billing.subscriptions.overage.usage import bring_usage_up
from billing.subscriptions.period_end.ending import write_ends
from billing.subscriptions.period_end.report import RenewalReport
from billing.subscriptions.period_end.rule import Renewal, ending, renewal

logger = logging.getLogger(__name__)
BATCH = 1000


def renew_due(now: datetime, progress: Callable[[int], None] = lambda _: None) -> RenewalReport:
    """Renew every subscription that is due at `now`, in batches that are committed one by one.

    `progress` is called with the size of each. A subscription that fails is reported and does not stop the others. One
    that was canceled ends with its period, and another one on the default plan follows. That of a deactivated user ends
    too, nothing follows, and nothing more is billed to it, also when he is back. What was used above a quota before a
    change of plan is billed a month later where no period has closed since.
    """
    done = _renew_in_batches(now, progress, keep=True)
    done.tally()
    return done


def dry_run(now: datetime, progress: Callable[[int], None] = lambda _: None) -> RenewalReport:
    """What `renew_due` would do, found out by doing it and rolling each batch back.

    Nothing is written, pushed to Redis or logged. As long as a batch takes, it locks what renewing it would lock.
    """
    return _renew_in_batches(now, progress, keep=False)


def renew(subscriptions: Sequence[Subscription], now: datetime, *, reviewed: bool = False) -> RenewalReport:
    """Renew or end locked subscriptions as far as they are due at `now`, in the caller's transaction.

    `reviewed`: staff have looked at what is suspicious about them, so nothing is parked.
    """
    latest, prices = _latest_periods(subscriptions), Prices()
    trials.ask_for_payment_methods(subscriptions)
    return _write([renewal(row, latest[row.pk], now, prices) for row in subscriptions], latest, now, reviewed)


def end(subscription: Subscription, now: datetime) -> Subscription | None:
    """End a locked subscription that is not due, in the caller's transaction; the one that follows on the default plan.

    What the follow-up costs is billed. None where no plan is the default, or the user is deactivated.
    """
    ended = ending(subscription, now, now, Prices())
    _write([ended], _latest_periods([subscription]), now, reviewed=True)
    return ended.follow_up


def _renew_in_batches(now: datetime, progress: Callable[[int], None], keep: bool) -> RenewalReport:
    check_clock()  # once, or each subscription of a batch would fail by itself
    if keep:
        bring_usage_up(now)
    total = RenewalReport()
    last: Subscription | None = None
    while True:
        with _without_collector(), transaction.atomic():
            batch = _take(now, last)
            if not batch:
                break
            # Read before the renewal moves it on.
            last = Subscription(pk=batch[-1].pk, period_ends_at=batch[-1].period_ends_at)
            done = _renew_bisecting(batch, now)
            if not keep:
                transaction.set_rollback(True)
        total.add(done)
        progress(len(batch))
    total.add(bill_parts(now, keep=keep))
    return total


@contextmanager
def _without_collector() -> Iterator[None]:
    """Python's search for circles of garbage rests: a batch makes a hundred thousand objects and hardly any circle, and
    looking for them took a tenth of the close."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _take(now: datetime, last: Subscription | None) -> list[Subscription]:
    """Lock the next batch in the order of the index; `last` is where the batch before it ended."""
    rows = Subscription.objects.due(now).order_by("period_ends_at", "pk")
    if last is not None:
        # As a row value, so that the index is entered where the last batch ended, however many periods end together.
        beyond = "(billing_subscription.period_ends_at, billing_subscription.id) > (%s, %s)"
        rows = rows.filter(RawSQL(beyond, [last.period_ends_at, last.pk], output_field=BooleanField()))
    rows = rows.select_related("account").select_for_update(skip_locked=True, of=("self",))
    return list(rows.prefetch_related("plan", "scheduled_plan")[:BATCH])  # a plan is one object for its subscribers


def _renew_bisecting(batch: Sequence[Subscription], now: datetime) -> RenewalReport:
    """Renew a batch; where it fails, its halves, so that only what is faulty is left behind."""
    if not batch:
        return RenewalReport()
    try:
        with transaction.atomic():
            return renew(batch, now)
    except Exception as error:  # whatever is wrong with one subscription must not stop the others
        if len(batch) == 1:
            failed = partial(logger.error, "subscription %s could not be renewed", batch[0].pk, exc_info=error)
            transaction.on_commit(failed)  # so that a dry run logs nothing
            return RenewalReport(failed={batch[0].pk: f"{type(error).__name__}: {error}"})
    middle = len(batch) // 2
    done = _renew_bisecting(batch[:middle], now)
    done.add(_renew_bisecting(batch[middle:], now))
    return done


def _latest_periods(subscriptions: Sequence[Subscription]) -> dict[int, BillingPeriod]:
    ids = [subscription.pk for subscription in subscriptions]
    rows = BillingPeriod.objects.filter(any_of("subscription", ids), ends_at=F("subscription__period_ends_at"))
    columns = ("subscription_id", "number", "starts_at", "ends_at", "overage_price", "currency")
    return {row.subscription_id: row for row in rows.order_by().only(*columns)}


def _write(
    renewals: Sequence[Renewal], latest: Mapping[int, BillingPeriod], now: datetime, reviewed: bool
) -> RenewalReport:
    discounts.discount_opened([period for renewed in renewals for period in renewed.opened])
    today = issued_today([r.subscription.account_id for r in renewals], now)
    arrears = Arrears([renewed for renewed in renewals if renewed.opened or renewed.ends_at], latest, now)
    billed = _bills(renewals, arrears, now)
    sound: list[tuple[Renewal, list[Bill]]] = []
    done = RenewalReport()
    for renewed, of_one in zip(renewals, billed, strict=True):
        reason = "" if reviewed else review_reason(of_one, today)
        if reason:
            renewed.subscription.park(reason, now)
            done.parked.append(renewed.subscription.pk)
        elif renewed.opened or renewed.ends_at:
            sound.append((renewed, of_one))
    write_ends([renewed for renewed, _ in sound if renewed.ends_at])
    opened = [period for renewed, _ in sound for period in renewed.opened]
    for period, pk in zip(opened, reserve_ids(BillingPeriod, len(opened)), strict=True):
        period.pk = pk  # known to its lines
    copy_rows(opened)
    discounts.count_uses(opened)
    going_on = [renewed for renewed, _ in sound if not renewed.ends_at]
    _advance(going_on)
    _record(going_on)
    bills = [bill for _, of_one in sound for bill in of_one]
    _issue(bills, arrears, [renewed for renewed, _ in sound], now)
    done.renewed, done.periods, done.ended = len(going_on), len(opened), len(sound) - len(going_on)
    done.changed = sum(renewed.applies_schedule for renewed in going_on)
    done.count_bills(bills)
    return done


def _bills(renewals: Sequence[Renewal], arrears: Arrears, now: datetime) -> list[list[Bill]]:
    """The bills of each renewal, with their tax, which is found out for all of them at once."""
    of_each = [arrears.bills(r) + to_issue([base_price(period) for period in r.opened]) for r in renewals]
    flat = iter(taxation.taxed([bill for of_one in of_each for bill in of_one], now))
    return [[next(flat) for _ in of_one] for of_one in of_each]


def _issue(bills: Sequence[Bill], arrears: Arrears, renewals: Sequence[Renewal], now: datetime) -> None:
    """What gives back more than it bills goes first: the balance that it leaves is used by the others."""
    giving = [bill for bill in bills if bill.total < 0]
    billing = [bill for bill in bills if bill.total >= 0]
    issued = [*(issuing.issue(giving, now) if giving else ()), *issuing.issue(billing, now)]
    arrears.save(renewals, dict(zip(map(id, [*giving, *billing]), issued, strict=True)))


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
    """A change counts from its own instant, however late the renewal: a quote made since then holds."""
    rows = [(r.subscription.pk, r.plan.pk, r.anchor, r.anchor_number, *_window_kept(r)) for r in changed]
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing_subscription AS s SET plan_id = n.plan_id, scheduled_plan_id = NULL, scheduled_at = NULL,"
            " kept_price = s.scheduled_kept_price, scheduled_kept_price = NULL,"
            " changed_at = s.scheduled_at, anchor = n.anchor, anchor_number = n.anchor_number,"
            " former_quota_window_from = n.since, former_quota_window_until = n.until"
            " FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::int[], %s::timestamptz[],"
            " %s::timestamptz[]) AS n (id, plan_id, anchor, anchor_number, since, until)"
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


def _window_kept(renewed: Renewal) -> tuple[datetime | None, datetime | None]:
    subscription = renewed.subscription
    assert subscription.scheduled_plan is not None and subscription.scheduled_at is not None
    plan, at = subscription.scheduled_plan, subscription.scheduled_at
    return kept_window(subscription, subscription.plan, plan, at, with_period=True)
