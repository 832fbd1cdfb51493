"""Who is on which plan, since when, and what each period was sold for."""

from __future__ import annotations

import logging
from datetime import datetime

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.db import models
from django.db.models import F, Func, Q, Value

from billing.fence.fenced import FencedModel
from billing.models.catalogue import Plan, QuotaWindow
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.periods import Period

logger = logging.getLogger(__name__)


class Subscription(FencedModel):
    """One live subscription an account. Written by `billing.subscriptions` alone."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        CANCELED = "canceled"

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="subscriptions")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions")
    status = models.CharField(max_length=10, choices=Status, default=Status.ACTIVE)
    anchor = models.DateTimeField(help_text="Billing periods are counted from here.")
    scheduled_plan = models.ForeignKey(
        Plan, null=True, blank=True, on_delete=models.PROTECT, related_name="scheduled_subscriptions"
    )
    scheduled_at = models.DateTimeField(null=True, blank=True, help_text="The scheduled plan is in force from here.")
    former_quota_window = models.CharField(max_length=20, choices=QuotaWindow, blank=True, editable=False)
    former_quota_window_until = models.DateTimeField(null=True, editable=False)
    period_ends_at = models.DateTimeField(help_text="End of the period opened last, which is due to be closed then.")
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField(help_text="The last change of plan or schedule; quotes from before it are void.")
    parked_at = models.DateTimeField(
        null=True, blank=True, help_text="Its invoices looked wrong: nothing is billed until staff release it."
    )
    parked_because = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["period_ends_at", "id"],
                name="subscription_due",
                condition=Q(status="active", parked_at__isnull=True),
            )
        ]
        constraints = [
            models.UniqueConstraint(name="subscription_one_live", fields=["account"], condition=Q(status="active")),
            models.CheckConstraint(
                name="subscription_schedule_whole",
                condition=Q(scheduled_plan__isnull=True, scheduled_at__isnull=True)
                | Q(scheduled_plan__isnull=False, scheduled_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account} on {self.plan}"

    def fence_subject(self) -> int:
        return int(self.account_id)

    def park(self, reason: str, now: datetime) -> None:
        """Bill nothing more to it until staff have looked."""
        logger.error("subscription %s is parked for staff: %s", self.pk, reason)
        Subscription.objects.filter(pk=self.pk).update(parked_at=now, parked_because=reason[:200])
        record(Happened.SUBSCRIPTION_PARKED, self.account_id, subscription=self.pk)


class BillingPeriod(models.Model):
    """What was sold for one stretch of time. The price is copied when the period opens; no edit reaches it."""

    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="periods", db_index=False)
    number = models.PositiveIntegerField(help_text="Counted from the anchor, the first is 0.")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+", db_index=False)
    price = models.DecimalField(max_digits=15, decimal_places=4)
    currency = models.CharField(max_length=3)

    class Meta:
        ordering = ["subscription", "number"]
        constraints = [
            models.UniqueConstraint(name="period_once", fields=["subscription", "number"]),
            models.CheckConstraint(name="period_forward", condition=Q(starts_at__lt=F("ends_at"))),
            models.CheckConstraint(name="period_price_not_negative", condition=Q(price__gte=0)),
            # A range of one id instead of btree_gist, which not every server has.
            ExclusionConstraint(
                name="period_no_overlap",
                expressions=[
                    (Func("subscription_id", "subscription_id", Value("[]"), function="int8range"), "&&"),
                    (Func("starts_at", "ends_at", function="tstzrange"), "&&"),
                ],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d} to {self.ends_at:%Y-%m-%d}"

    @property
    def period(self) -> Period:
        return Period(self.starts_at, self.ends_at)
