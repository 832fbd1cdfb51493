"""Who is on which plan, since when, and what follows."""

from __future__ import annotations

import logging
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models, transaction
from django.db.models import F, Q

from billing.fence.fenced import FencedModel
from billing.models.catalogue.plans import Plan
from billing.models.subscriptions.trials import Trial
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.usage_window import kept_window
from ratelimit.limits import LARGEST_NUMBER

if TYPE_CHECKING:
    from billing.models.subscriptions.billing_periods import BillingPeriod

logger = logging.getLogger(__name__)


class SubscriptionQuerySet(models.QuerySet["Subscription"]):
    def live(self) -> SubscriptionQuerySet:
        """Those that have not ended; an account has one at most."""
        return self.filter(status=Subscription.Status.ACTIVE)

    def lock_all_of(self, account: int) -> int:
        """Those that have ended, too. Gives how many there are.

        Whoever writes to an account's ledger holds this lock, and takes it first.
        """
        return len(self.filter(account=account).select_for_update().order_by("pk"))

    def due(self, now: datetime) -> SubscriptionQuerySet:
        """Live ones, not parked, whose last period has ended by `now`: the next renewal takes them."""
        return self.live().filter(parked_at__isnull=True, period_ends_at__lte=now)

    def on_trial(self) -> SubscriptionQuerySet:
        """Live ones whose last period is their trial."""
        return self.live().filter(trial_ends_at=F("period_ends_at"))

    def paying(self) -> SubscriptionQuerySet:
        """Live ones whose present period costs something, net of its discount: neither trials nor free ones."""
        costs = {"periods__ends_at": F("period_ends_at"), "periods__price__gt": F("periods__discount")}
        return self.live().filter(**costs)

    def ending(self) -> SubscriptionQuerySet:
        """Live ones that were canceled and end with their period."""
        return self.live().filter(cancel_at__isnull=False)

    def parked(self) -> SubscriptionQuerySet:
        """Live ones that wait for staff."""
        return self.live().filter(parked_at__isnull=False)

    def not_parked(self) -> SubscriptionQuerySet:
        """All the others, those that have ended included."""
        return self.exclude(status=Subscription.Status.ACTIVE, parked_at__isnull=False)


class Subscription(Trial, FencedModel):
    """One live subscription an account. Written by `billing.subscriptions` alone."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        CANCELED = "canceled"

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="subscriptions")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="subscriptions")
    status = models.CharField(max_length=10, choices=Status, default=Status.ACTIVE)
    anchor = models.DateTimeField(help_text="Billing periods are counted from here.")
    anchor_number = models.PositiveIntegerField(
        default=0, help_text="The number of the billing period that starts at the anchor."
    )
    scheduled_plan = models.ForeignKey(
        Plan, null=True, blank=True, on_delete=models.PROTECT, related_name="scheduled_subscriptions"
    )
    scheduled_at = models.DateTimeField(null=True, blank=True, help_text="The scheduled plan is in force from here.")
    kept_price = models.DecimalField(
        max_digits=15,
        decimal_places=4,
        null=True,
        blank=True,
        help_text="What a period on this plan costs at most, whatever its list price becomes.",
    )
    scheduled_kept_price = models.DecimalField(
        max_digits=15, decimal_places=4, null=True, blank=True, help_text="The same, on the scheduled plan."
    )
    former_quota_window_from = models.DateTimeField(null=True, editable=False)
    former_quota_window_until = models.DateTimeField(null=True, editable=False)
    overage_cap_tokens = models.PositiveBigIntegerField(
        "own overage cap",
        null=True,
        blank=True,
        validators=[MaxValueValidator(LARGEST_NUMBER)],
        help_text="Most tokens above the quota, set by the customer. Blank: the plan's; 0: none.",
    )
    period_ends_at = models.DateTimeField(help_text="End of the period opened last: the renewal is due then.")
    cancel_at = models.DateTimeField(null=True, blank=True, help_text="It ends here instead of being renewed.")
    cancel_reason = models.CharField(max_length=200, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField(help_text="The last change of plan or schedule; quotes from before it are void.")
    parked_at = models.DateTimeField(
        null=True, blank=True, help_text="Its invoices looked wrong: nothing is billed until staff release it."
    )
    parked_because = models.CharField(max_length=200, blank=True)
    objects = SubscriptionQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["period_ends_at", "id"],
                name="subscription_due",
                condition=Q(status="active", parked_at__isnull=True),
            ),
            models.Index(
                fields=["-id"], name="subscription_parked", condition=Q(status="active", parked_at__isnull=False)
            ),
            models.Index(
                fields=["-id"], name="subscription_ending", condition=Q(status="active", cancel_at__isnull=False)
            ),
            models.Index(
                fields=["trial_notice_at"], name="trial_notice_due", condition=Q(trial_notice_at__isnull=False)
            ),
            models.Index(
                fields=["scheduled_at"], name="subscription_scheduled", condition=Q(scheduled_at__isnull=False)
            ),
        ]
        constraints = [
            models.UniqueConstraint(name="subscription_one_live", fields=["account"], condition=Q(status="active")),
            models.UniqueConstraint(
                name="subscription_one_trial", fields=["account"], condition=Q(trial_ends_at__isnull=False)
            ),
            models.CheckConstraint(
                name="subscription_schedule_whole",
                condition=Q(scheduled_plan__isnull=True, scheduled_at__isnull=True)
                | Q(scheduled_plan__isnull=False, scheduled_at__isnull=False),
            ),
            models.CheckConstraint(
                name="subscription_one_follows", condition=Q(scheduled_at__isnull=True) | Q(cancel_at__isnull=True)
            ),
            models.CheckConstraint(
                name="subscription_kept_price_of_schedule",
                condition=Q(scheduled_kept_price__isnull=True) | Q(scheduled_plan__isnull=False),
            ),
            models.CheckConstraint(
                name="subscription_overage_cap_countable", condition=Q(overage_cap_tokens__range=(0, LARGEST_NUMBER))
            ),
            models.CheckConstraint(
                name="subscription_ended_when_canceled",
                condition=Q(status="canceled", ended_at__isnull=False)
                | Q(~Q(status="canceled"), ended_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account} on {self.plan}"

    def fence_subject(self) -> int:
        return int(self.account_id)

    @property
    def is_live(self) -> bool:
        return self.status == Subscription.Status.ACTIVE

    @property
    def is_parked(self) -> bool:
        return self.is_live and self.parked_at is not None

    @property
    def ends_at(self) -> datetime | None:
        """Where it ends instead of being renewed; None: it is renewed.

        It was canceled, its user is deactivated, or its trial ends without the payment method that was asked for; where
        another plan is scheduled, none is.
        """
        ends = self.cancel_at is not None or not self.account.is_active or self.lacks_payment_method
        return self.period_ends_at if ends else None

    @property
    def overage_cap(self) -> int:
        """The most tokens above the quota that are sold to it in a usage window, where any are."""
        return self.plan.overage_cap_tokens if self.overage_cap_tokens is None else self.overage_cap_tokens

    def current_period(self) -> BillingPeriod:
        """The period opened last, with its plan. While its renewal is late it has ended: see `current_subscription`."""
        return self.periods.select_related("plan").latest("number")

    def put_on(
        self, plan: Plan, now: datetime, begun: BillingPeriod | None = None, kept_price: Decimal | None = None
    ) -> None:
        """Another plan from `now` on; a scheduled change is dropped, and the usage window follows its rule.

        With a period that has `begun`, periods are counted from there, and a trial has ended; where it is the trial,
        they are counted from its end. A price that was kept ends with the plan.
        """
        anchor, number = begun.anchor if begun is not None else (None, 0)
        kept = kept_window(self, self.plan, plan, now, anchor=anchor)
        self.former_quota_window_from, self.former_quota_window_until = kept
        self.plan, self.kept_price = plan, kept_price
        if begun is not None and anchor is not None:
            self.anchor, self.anchor_number, self.period_ends_at = anchor, number, begun.ends_at
            if begun.is_trial:
                self.begin_trial(plan, begun.period)
            else:
                self.cut_trial(begun.starts_at)
        self.drop_schedule(now)

    def schedule(self, plan: Plan, at: datetime, now: datetime, kept_price: Decimal | None = None) -> None:
        """The plan that follows at an instant; it replaces what was scheduled, an end too."""
        self._let_follow(now, plan, at, kept_price=kept_price)

    def cancel(self, reason: str, now: datetime) -> None:
        """Let it end with its period; that replaces a scheduled plan."""
        self._let_follow(now, cancel_at=self.period_ends_at, reason=reason)

    def drop_schedule(self, now: datetime) -> None:
        """Neither another plan follows nor the end."""
        self._let_follow(now)

    def _let_follow(
        self,
        now: datetime,
        plan: Plan | None = None,
        at: datetime | None = None,
        cancel_at: datetime | None = None,
        reason: str = "",
        kept_price: Decimal | None = None,
    ) -> None:
        self.scheduled_plan, self.scheduled_at, self.scheduled_kept_price = plan, at, kept_price
        self.cancel_at, self.cancel_reason = cancel_at, reason
        self.changed_at = now
        self.save()

    def park(self, reason: str, now: datetime) -> None:
        """Bill nothing more to it until staff have looked."""
        self.parked_at, self.parked_because = now, reason[:200]
        # By the two columns alone: what renewal writes in bulk, the caller's row may not know yet.
        Subscription.objects.filter(pk=self.pk).update(parked_at=now, parked_because=self.parked_because)
        record(Happened.SUBSCRIPTION_PARKED, self.account_id, subscription=self.pk)
        # Said once it holds: a dry run parks nobody, and a batch that fails is tried again.
        transaction.on_commit(lambda: logger.error("subscription %s is parked for staff: %s", self.pk, reason))
