"""At which parts of the quota a customer is told."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from billing.models.catalogue.plans import Plan

MOST_OWN: Final = 10
"""Thresholds that an account may add to its plan's."""


class NoticeThreshold(models.Model):
    """A percentage of the tokens that a usage window includes: of a plan, or an account's own beside its plan's."""

    plan = models.ForeignKey(Plan, null=True, blank=True, on_delete=models.CASCADE, related_name="notice_thresholds")
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE, related_name="notice_thresholds"
    )
    percent = models.PositiveSmallIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(100)], help_text="From 1 to 100."
    )

    class Meta:
        ordering = ["percent"]
        constraints = [
            models.CheckConstraint(
                name="threshold_of_one",
                condition=Q(plan__isnull=True, account__isnull=False) | Q(plan__isnull=False, account__isnull=True),
            ),
            models.CheckConstraint(name="threshold_bounded", condition=Q(percent__gte=1, percent__lte=100)),
            models.UniqueConstraint(name="threshold_of_plan_once", fields=["plan", "percent"]),
            models.UniqueConstraint(name="threshold_of_account_once", fields=["account", "percent"]),
        ]

    def __str__(self) -> str:
        return f"{self.percent} %"
