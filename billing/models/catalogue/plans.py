"""Plans and what they include. Rows, never constants."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from billing.fence.fenced import FencedModel
from billing.models.amounts import check_currency, too_exact
from billing.rules.periods import INTERVALS, Interval
from billing.rules.plan_change import PlanTerms, UpgradeMode
from ratelimit.limits import LARGEST_NUMBER

LARGEST_RATE = 1_000_000
"""Requests per minute: the exact window keeps four bytes for each."""
LONGEST_TRIAL = 365
"""Days."""
LARGEST_OVERAGE_PRICE = Decimal(1_000_000)

code_validator = RegexValidator(r"^[a-z][a-z0-9_-]*$", "Use lower-case letters, digits, - and _; begin with a letter.")


class QuotaWindow(models.TextChoices):
    CALENDAR_MONTH = "calendar_month", "calendar month (UTC)"
    BILLING_PERIOD = "billing_period", "billing period"


UPGRADE_MODES = [
    (UpgradeMode.PRORATE.value, "now, prorated: the period stays and its rest is charged"),
    (UpgradeMode.FULL_PERIOD.value, "now, in full: a period begins, and unused time of the old plan is credited"),
    (UpgradeMode.NEXT_PERIOD.value, "when the present period ends"),
]


class Capability(FencedModel):
    """What a plan may include and a feature may need."""

    code = models.CharField(max_length=50, unique=True, validators=[code_validator])
    name = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["code"]
        verbose_name_plural = "capabilities"

    def __str__(self) -> str:
        return self.code


class PlanQuerySet(models.QuerySet["Plan"]):
    def on_sale(self) -> PlanQuerySet:
        """Those that a customer may choose."""
        return self.filter(archived_at__isnull=True)

    def archived(self) -> PlanQuerySet:
        """Those that only their subscribers still have."""
        return self.filter(archived_at__isnull=False)

    def default(self) -> Plan | None:
        """The plan of customers who have not chosen one; None while none is marked."""
        return self.filter(is_default=True).first()


class Plan(FencedModel):
    FIXED_ONCE_SOLD = ("currency", "interval", "quota_window")
    """Periods are counted in the interval, bills add up in the currency, and used tokens belong to a window."""
    FIRST_NOTICES = (80, 100)
    """Percentages of the quota at which subscribers of a new plan are told, until staff edit them."""
    TERMS_OF_SALE = ("price", "overage_price", "trial_days", "trial_needs_payment_method")
    """What a quote rests on: `priced_at` is when one of them was last edited."""

    code = models.CharField(
        max_length=50,
        unique=True,
        validators=[code_validator],
        help_text="What the API calls the plan. Clients rely on it: it cannot be changed later.",
    )
    name = models.CharField(max_length=100)
    rank = models.PositiveIntegerField(
        default=0, help_text="A higher rank is a higher plan: going there is an upgrade. Equal ranks compare by price."
    )
    price = models.DecimalField(
        max_digits=15, decimal_places=4, validators=[MinValueValidator(Decimal(0))], help_text="For one interval."
    )
    currency = models.CharField(max_length=3, default="USD", help_text="ISO 4217, such as USD.")
    interval = models.CharField(max_length=10, choices=[(code, code) for code in INTERVALS], default="month")
    monthly_token_quota = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(LARGEST_NUMBER)],
        help_text="Tokens in each usage window. Blank means unlimited; 0 means none.",
    )
    requests_per_minute = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(LARGEST_RATE)],
        help_text="In any 60 seconds. Blank means unlimited; 0 means none.",
    )
    capabilities = models.ManyToManyField(Capability, blank=True, related_name="plans")
    quota_window = models.CharField(
        max_length=20,
        choices=QuotaWindow,
        default=QuotaWindow.CALENDAR_MONTH,
        help_text="When the quota starts anew. It stays once the plan was sold.",
    )
    overage_price = models.DecimalField(
        "price per 1,000 tokens above the quota",
        max_digits=15,
        decimal_places=4,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal("0.0001")), MaxValueValidator(LARGEST_OVERAGE_PRICE)],
        help_text="In the plan's currency, up to 4 decimals. Blank means that the quota is the end. "
        "An edit acts from each subscriber's next period.",
    )
    overage_cap_tokens = models.PositiveBigIntegerField(
        "most tokens above the quota",
        default=0,
        blank=True,
        validators=[MaxValueValidator(LARGEST_NUMBER)],
        help_text="In each usage window, for customers who have set no cap of their own. Blank or 0: only who sets one "
        "can buy.",
    )
    upgrade_mode = models.CharField(
        max_length=20,
        choices=UPGRADE_MODES,
        default=UpgradeMode.PRORATE,
        help_text="How customers get here from a lower plan billed in the same interval.",
    )
    trial_days = models.PositiveIntegerField(
        default=0,
        validators=[MaxValueValidator(LONGEST_TRIAL)],
        help_text="Free days for accounts that pay nothing yet and never had a trial. 0 means none.",
    )
    trial_needs_payment_method = models.BooleanField(
        default=False,
        help_text="Of trials that begin from now on: without a payment method the subscription ends with its trial, and"
        " the default plan follows. The default plan itself never asks for one.",
    )
    is_default = models.BooleanField(default=False, help_text="The plan of customers who have not chosen one.")
    archived_at = models.DateTimeField(
        null=True, blank=True, help_text="Not for sale from then on. Subscribers keep it; a plan is never deleted."
    )
    priced_at = models.DateTimeField(default=timezone.now, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    history = HistoricalRecords(m2m_fields=[capabilities])
    objects = PlanQuerySet.as_manager()

    class Meta:
        ordering = ["rank", "price", "code"]
        constraints = [
            models.CheckConstraint(name="plan_price_not_negative", condition=Q(price__gte=0)),
            models.CheckConstraint(
                name="plan_quota_countable", condition=Q(monthly_token_quota__range=(0, LARGEST_NUMBER))
            ),
            models.CheckConstraint(
                name="plan_rate_countable", condition=Q(requests_per_minute__range=(0, LARGEST_RATE))
            ),
            models.CheckConstraint(name="plan_trial_bounded", condition=Q(trial_days__range=(0, LONGEST_TRIAL))),
            models.CheckConstraint(
                name="plan_overage_countable",
                condition=Q(overage_price__range=(Decimal("0.0001"), LARGEST_OVERAGE_PRICE)),
            ),
            models.CheckConstraint(
                name="plan_overage_cap_countable", condition=Q(overage_cap_tokens__range=(0, LARGEST_NUMBER))
            ),
            models.CheckConstraint(
                name="plan_overage_fits",
                condition=Q(overage_price__isnull=True)
                | Q(quota_window=QuotaWindow.BILLING_PERIOD, interval="month", monthly_token_quota__isnull=False),
            ),
            models.UniqueConstraint(name="plan_one_default", fields=["is_default"], condition=Q(is_default=True)),
            models.CheckConstraint(
                name="plan_default_for_sale", condition=Q(is_default=False) | Q(archived_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def billed_every(self) -> Interval:
        return INTERVALS[self.interval]

    @property
    def is_on_sale(self) -> bool:
        return self.archived_at is None

    @property
    def may_sell_overage(self) -> bool:
        """Whether its usage windows end with its billing periods, which is fixed once it was sold."""
        return self.quota_window == QuotaWindow.BILLING_PERIOD and self.interval == "month"

    @property
    def terms(self) -> PlanTerms:
        """The plan as it is sold now, at its list price."""
        return PlanTerms(self.code, self.rank, self.price, self.currency, self.billed_every, self.upgrade_mode)

    def was_sold(self) -> bool:
        """Whether a subscription, a scheduled change or a billing period refers to it, also one that has ended."""
        return self.subscriptions.exists() or self.scheduled_subscriptions.exists() or self.billing_periods.exists()

    def capability_codes(self) -> list[str]:
        """Sorted; from memory where `capabilities` were prefetched."""
        return [capability.code for capability in self.capabilities.all()]

    def save(self, *args: Any, **kwargs: Any) -> None:
        before = Plan.objects.filter(pk=self.pk).values_list(*self.TERMS_OF_SALE).first() if self.pk else None
        if before is not None and before != tuple(getattr(self, term) for term in self.TERMS_OF_SALE):
            self.priced_at = timezone.now()
            if kwargs.get("update_fields") is not None:
                kwargs["update_fields"] = {*kwargs["update_fields"], "priced_at"}
        is_new = self._state.adding
        with transaction.atomic():
            super().save(*args, **kwargs)
            for percent in self.FIRST_NOTICES if is_new else ():
                self.notice_thresholds.get_or_create(percent=percent)

    def _overage_lacks(self) -> str:
        """What selling tokens above the quota needs: a quota, and windows that end with the billing periods."""
        if self.monthly_token_quota is None:
            return "give the plan a quota"
        if self.quota_window != QuotaWindow.BILLING_PERIOD:
            return "let the quota start anew with the billing period"
        return "" if self.interval == "month" else "bill the plan every month"

    def clean(self) -> None:
        check_currency(self.currency)
        if self.price is not None and (wrong := too_exact(self.price, self.currency)):
            raise ValidationError({"price": wrong})
        if self.trial_days and not self.price:
            raise ValidationError({"trial_days": "The plan costs nothing: there is nothing to try."})
        self.overage_cap_tokens = self.overage_cap_tokens or 0
        if self.overage_price is not None and (missing := self._overage_lacks()):
            raise ValidationError({"overage_price": f"To sell tokens above the quota, {missing}."})
        if self.is_default and self.archived_at:
            raise ValidationError({"archived_at": "Make another plan the default before this one is archived."})
        if self.pk is None:
            return
        before = Plan.objects.get(pk=self.pk)
        terms_change = any(getattr(before, term) != getattr(self, term) for term in self.FIXED_ONCE_SOLD)
        if terms_change and self.was_sold():
            raise ValidationError(
                "The plan was sold: its currency, interval and quota window stay as they are. Add another plan instead."
            )
        if before.code != self.code:
            raise ValidationError({"code": "Clients rely on the code. Archive this plan and add another."})
