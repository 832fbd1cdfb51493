"""What is on offer: capabilities, plans, features and the paths they are metered at. Rows, never constants."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from billing.fence.fenced import FencedModel
from billing.rules.money import UnknownCurrency, is_exact, minor_units
from billing.rules.periods import INTERVALS, Interval
from billing.rules.plan_change import PlanTerms, UpgradeMode
from billing.rules.routes import has_parameters, shape, why_no_route
from ratelimit.limits import LARGEST_NUMBER

LARGEST_COST = 10**9
LARGEST_RATE = 1_000_000
"""Requests per minute: the exact window keeps four bytes for each."""

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
    upgrade_mode = models.CharField(
        max_length=20,
        choices=UPGRADE_MODES,
        default=UpgradeMode.PRORATE,
        help_text="How customers get here from a lower plan billed in the same interval.",
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
        before = Plan.objects.filter(pk=self.pk).values_list("price", flat=True).first() if self.pk else None
        if before is not None and before != self.price:
            self.priced_at = timezone.now()
            if kwargs.get("update_fields") is not None:
                kwargs["update_fields"] = {*kwargs["update_fields"], "priced_at"}
        super().save(*args, **kwargs)

    def clean(self) -> None:
        try:
            decimals = minor_units(self.currency)
        except UnknownCurrency as error:
            raise ValidationError({"currency": str(error)}) from error
        if self.price is not None and not is_exact(self.price, self.currency):
            raise ValidationError({"price": f"{self.currency} has {decimals} decimals; {self.price} has more."})
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


class Feature(FencedModel):
    """What is metered: every successful call costs `tokens`."""

    MEMBERS_BESIDE_CODES = frozenset({"total"})
    """Of answers that have features' codes as members: a feature of that name would not be seen there."""

    code = models.CharField(max_length=50, unique=True, validators=[code_validator])
    name = models.CharField(max_length=100, blank=True)
    tokens = models.PositiveIntegerField(
        validators=[MaxValueValidator(LARGEST_COST)], help_text="Cost of one successful call."
    )
    capability = models.ForeignKey(
        Capability,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="features",
        help_text="Plans without it answer 403. Blank: every plan has the feature.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    history = HistoricalRecords()

    class Meta:
        ordering = ["code"]
        constraints = [models.CheckConstraint(name="feature_cost_countable", condition=Q(tokens__lte=LARGEST_COST))]

    def __str__(self) -> str:
        return self.code

    def clean(self) -> None:
        if self._state.adding and self.code in self.MEMBERS_BESIDE_CODES:
            raise ValidationError({"code": f"“{self.code}” has a meaning in answers of the API. Take another code."})


def normalised_path(path: str) -> str:
    """The one spelling under which paths are compared: single slashes, no slash at the end, lower case.

    Too generous on purpose: a view that answers at an odd spelling of a metered path is metered as well (law L8).
    """
    return "/" + "/".join(segment for segment in path.casefold().split("/") if segment)


class Route(FencedModel):
    """Which path belongs to which feature. The longest prefix on segment boundaries wins, a method before none."""

    class Method(models.TextChoices):
        ANY = "", "any"
        GET = "GET", "GET and HEAD"
        POST = "POST"
        PUT = "PUT"
        PATCH = "PATCH"
        DELETE = "DELETE"

    path = models.CharField(
        max_length=200, help_text="Such as /api/v1/trace/start, which covers /api/v1/trace/start/7 as well."
    )
    method = models.CharField(max_length=6, choices=Method, blank=True, default=Method.ANY)
    feature = models.ForeignKey(Feature, on_delete=models.CASCADE, related_name="routes")
    history = HistoricalRecords()

    class Meta:
        ordering = ["path", "method"]
        constraints = [models.UniqueConstraint(name="route_once", fields=["path", "method"])]

    def __str__(self) -> str:
        return f"{self.method or 'any'} {self.path}"

    def clean(self) -> None:
        if not re.fullmatch(r"/[^\s?#%]+", self.path):
            raise ValidationError({"path": "Give a path such as /api/v1/trace/start: no query, no % escapes, no host."})
        self.path = normalised_path(self.path)
        if reason := why_no_route(self.path, settings.OWN_PATHS):
            raise ValidationError({"path": reason})
        if has_parameters(self.path):
            others = Route.objects.filter(path__contains="{", method=self.method).exclude(pk=self.pk)
            same = next((other for other in others if shape(other.path) == shape(self.path)), None)
            if same is not None and same.path != self.path:
                raise ValidationError({"path": f"{same} covers the same paths."})


__all__ = ["Capability", "Feature", "Plan", "QuotaWindow", "Route", "normalised_path"]
