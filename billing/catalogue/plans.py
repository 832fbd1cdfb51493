"""Selling plans: archive one, put it on sale again, make it the default, and count whom an edit reaches."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from billing.models import Plan, Subscription
from billing.rules.refused import Refused


class NotForSale(Refused):
    """The plan cannot be taken from sale, or cannot be the default. Parameter: the name of the `plan`."""


def archive(plan: int, now: datetime) -> Plan:
    """Sell it no more from now on; its subscribers keep it. Raises NotForSale for the default plan."""
    with transaction.atomic():
        row = Plan.objects.select_for_update().get(pk=plan)
        if row.is_default:
            raise NotForSale("plan_is_default", plan=row.name)
        if row.is_on_sale:
            row.archived_at = now
            row.save()
    return row


def put_on_sale(plan: int) -> Plan:
    """Sell an archived plan again."""
    with transaction.atomic():
        row = Plan.objects.select_for_update().get(pk=plan)
        if not row.is_on_sale:
            row.archived_at = None
            row.save()
    return row


def make_default(plan: int) -> Plan:
    """Let customers who have not chosen a plan start on this one instead of the present default.

    Raises NotForSale for an archived plan.
    """
    with transaction.atomic():
        # In one order, so that two of these wait for each other instead of locking each other out.
        rows = {row.pk: row for row in Plan.objects.select_for_update().order_by("pk")}
        chosen = rows[plan]
        if not chosen.is_on_sale:
            raise NotForSale("plan_is_archived", plan=chosen.name)
        for row in rows.values():
            if row.is_default and row is not chosen:
                row.is_default = False
                row.save()
        if not chosen.is_default:
            chosen.is_default = True
            chosen.save()
    return chosen


def with_subscribers(plans: QuerySet[Plan]) -> QuerySet[Plan]:
    """The plans with `subscribers` (live subscriptions) and `arriving` (live ones scheduled to change to it)."""
    live = Subscription.objects.live().order_by()

    def count(field: str) -> Coalesce:
        of_plan = live.filter(**{field: OuterRef("pk")}).values(field).annotate(number=Count("pk")).values("number")
        return Coalesce(Subquery(of_plan, output_field=IntegerField()), 0)

    return plans.annotate(subscribers=count("plan"), arriving=count("scheduled_plan"))
