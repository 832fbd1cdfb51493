"""What was used above the quota before a change of plan after which no period closes soon: an upgrade to a year."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from billing.invoicing import issuing
from billing.invoicing.bills import Bill
from billing.invoicing.review import issued_today, review_reason
from billing.models import Subscription, WindowOverage
from billing.models.subscriptions.subscription import SubscriptionQuerySet
from billing.subscriptions.overage.arrears import Arrears
from billing.subscriptions.overage.usage import catch_up
from billing.subscriptions.period_end.report import RenewalReport
from billing.subscriptions.period_end.rule import Renewal

WAITS = timedelta(days=31)
"""After the change: the usage window has ended by then, and so has a monthly period, whose close bills the part."""
logger = logging.getLogger(__name__)


def bill_parts(now: datetime, *, keep: bool) -> RenewalReport:
    """Bill such parts, an invoice for each subscription, in transactions of their own; without `keep` roll them back.

    What a deactivated user used stays unbilled. An invoice that looks wrong is left for the close of the period, where
    staff release it. Several at once do no harm.
    """
    done = RenewalReport()
    # Parts are few. As a subquery PostgreSQL met each with all subscriptions, where it had the table for empty.
    sold_to = list(_parts(now).values_list("billing_period__subscription", flat=True))
    waiting = list(_waiting(sold_to, now).values_list("pk", "account"))
    if keep:
        catch_up(account for _, account in waiting)
    for pk, _ in waiting:
        try:
            with transaction.atomic():
                parts = _parts(now).filter(billing_period__subscription=pk).values("billing_period__subscription")
                for subscription in _waiting(parts, now).select_for_update(skip_locked=True, of=("self",)):
                    done.count_bills(_bill(subscription, now))
                transaction.set_rollback(not keep)
        except Exception as error:  # whatever is wrong with one subscription must not stop the others
            logger.exception("what subscription %s used above its quota could not be billed", pk)
            done.failed[pk] = f"{type(error).__name__}: {error}"
    return done


def _parts(now: datetime) -> QuerySet[WindowOverage]:
    return WindowOverage.objects.filter(used=None, is_part=True, until__lte=now - WAITS)


def _waiting(sold_to: Any, now: datetime) -> SubscriptionQuerySet:
    """Those subscriptions, given their ids or a query of them, whose parts are to be billed here."""
    live = Subscription.objects.live().filter(parked_at=None, account__is_active=True, period_ends_at__gt=now)
    return live.filter(pk__in=sold_to).select_related("plan", "account")


def _bill(subscription: Subscription, now: datetime) -> list[Bill]:
    unclosed = Renewal(subscription, (), subscription.plan)
    arrears = Arrears([unclosed], {subscription.pk: subscription.current_period()}, now)
    bills = arrears.bills(unclosed)
    if review_reason(bills, issued_today([subscription.account_id], now)):
        return []
    invoices = issuing.issue(bills, now)
    arrears.save([unclosed], dict(zip(map(id, bills), invoices, strict=True)))
    return bills
