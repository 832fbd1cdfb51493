"""What each period of a subscription was sold for."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.contrib.postgres.constraints import ExclusionConstraint
from django.db import models
from django.db.models import F, Func, Q, Value

from billing.models.catalogue.coupons import Coupon
from billing.models.catalogue.plans import Plan
from billing.models.subscriptions.subscription import Subscription
from billing.rules.periods import Period
from billing.rules.plan_change import PlanTerms


class BillingPeriod(models.Model):
    """What was sold for one stretch of time, at a price and a discount that are copied when the period opens.

    No edit of plan or coupon reaches it; a change of plan puts the new plan's price and discount in their place.
    """

    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="periods", db_index=False)
    number = models.PositiveIntegerField(help_text="The subscription's first is 0.")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="billing_periods", db_index=False)
    price = models.DecimalField(max_digits=15, decimal_places=4)
    currency = models.CharField(max_length=3)
    is_trial = models.BooleanField(default=False, db_default=False)
    coupon = models.ForeignKey(
        Coupon, null=True, on_delete=models.PROTECT, related_name="billing_periods", db_index=False
    )
    discount = models.DecimalField(
        max_digits=15, decimal_places=4, default=0, db_default=0, help_text="What the coupon takes off the price."
    )
    overage_price = models.DecimalField(
        max_digits=15, decimal_places=4, null=True, help_text="Of 1,000 tokens above the quota. Null: none are sold."
    )

    class Meta:
        ordering = ["subscription", "number"]
        indexes = [
            models.Index(
                fields=["subscription"], name="period_selling_overage", condition=Q(overage_price__isnull=False)
            )
        ]
        constraints = [
            models.UniqueConstraint(name="period_once", fields=["subscription", "number"]),
            models.CheckConstraint(name="period_forward", condition=Q(starts_at__lt=F("ends_at"))),
            models.CheckConstraint(name="period_price_not_negative", condition=Q(price__gte=0)),
            models.CheckConstraint(name="period_trial_free", condition=Q(is_trial=False) | Q(price=0)),
            models.CheckConstraint(name="period_discount_within_price", condition=Q(discount__range=(0, F("price")))),
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

    @classmethod
    def of(cls, subscription: Subscription, number: int, period: Period, plan: Plan, price: Decimal) -> BillingPeriod:
        """A period that is not saved yet, at the price it is sold for."""
        return cls(
            subscription=subscription,
            number=number,
            starts_at=period.start,
            ends_at=period.end,
            plan=plan,
            price=price,
            currency=plan.currency,
            overage_price=plan.overage_price,
        )

    @property
    def period(self) -> Period:
        return Period(self.starts_at, self.ends_at)

    @property
    def title(self) -> str:
        """What was sold, as lines and pages call it."""
        return f"Trial of {self.plan.name}" if self.is_trial else self.plan.name

    @property
    def anchor(self) -> tuple[datetime, int]:
        """Where periods are counted from once this one has begun out of turn, and the number of the one there."""
        return (self.ends_at, self.number + 1) if self.is_trial else (self.starts_at, self.number)

    @property
    def net_price(self) -> Decimal:
        """What the whole of it costs: its price less the discount."""
        return self.price - self.discount

    @property
    def terms(self) -> PlanTerms:
        """The plan as it was sold for this period, at the period's price; a trial at the list price."""
        price = self.plan.price if self.is_trial else self.price
        return PlanTerms(self.plan.code, self.plan.rank, price, self.currency, self.plan.billed_every)
