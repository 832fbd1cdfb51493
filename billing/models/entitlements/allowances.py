"""Exceptions for one account, as rows: another limit than its plan's, or tokens on top of its quota."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from billing.fence.fenced import FencedModel
from billing.models.catalogue.plans import LARGEST_RATE
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.tokens.top_ups import TopUp
from ratelimit.limits import LARGEST_NUMBER


class Allowance(FencedModel):
    """A row that changes an account's limits while it exists."""

    IN_MESSAGES = ""
    """What names the row in the payload of a message."""
    account_id: int

    class Meta:
        abstract = True

    def fence_subject(self) -> int:
        return self.account_id

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            super().save(*args, **kwargs)
            record(Happened.LIMITS_CHANGED, self.account_id, **{self.IN_MESSAGES: self.pk})

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            record(Happened.LIMITS_CHANGED, self.account_id, **{self.IN_MESSAGES: self.pk})
            return super().delete(*args, **kwargs)


class LimitOverride(Allowance):
    """Replaces one limit of one account, whatever its plan says. Of several in force the newest holds."""

    IN_MESSAGES = "override"

    class Name(models.TextChoices):
        MINUTE = "minute", "requests per minute"
        QUOTA = "quota", "tokens per window"

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="limit_overrides")
    limit = models.CharField(max_length=10, choices=Name)
    maximum = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(LARGEST_NUMBER)],
        help_text="Blank means unlimited; 0 means none.",
    )
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Blank means until it is deleted.")
    reason = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    history = HistoricalRecords()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(name="override_countable", condition=Q(maximum__range=(0, LARGEST_NUMBER))),
            models.CheckConstraint(
                name="override_rate_countable",
                condition=~Q(limit="minute") | Q(maximum__isnull=True) | Q(maximum__lte=LARGEST_RATE),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account}: {'unlimited' if self.maximum is None else self.maximum} {self.get_limit_display()}"

    def clean(self) -> None:
        if self.limit == self.Name.MINUTE and self.maximum is not None and self.maximum > LARGEST_RATE:
            raise ValidationError({"maximum": f"At most {LARGEST_RATE:,} requests per minute; blank for unlimited."})


class TokenTopUp(Allowance):
    """Tokens on top of the quota of the usage window in which the top-up starts, until it expires or the window ends.

    It never counts in two windows, so what was granted once cannot be spent twice. `spent` is written by
    `billing.subscriptions.lapsed_top_ups` alone; a trigger takes it back where the account's top-ups change.
    """

    IN_MESSAGES = "top_up"

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="token_top_ups")
    tokens = models.PositiveBigIntegerField(validators=[MinValueValidator(1), MaxValueValidator(LARGEST_NUMBER)])
    starts_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="Blank means when the usage window ends, which is the latest it can hold."
    )
    spent = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        editable=False,
        help_text="What was used of it when it lapsed; blank until it has, and a call made it be counted.",
    )
    reason = models.CharField(max_length=200, blank=True)
    history = HistoricalRecords(excluded_fields=["spent"])

    class Meta:
        ordering = ["-starts_at"]
        verbose_name = "token top-up"
        constraints = [
            models.CheckConstraint(name="top_up_countable", condition=Q(tokens__range=(1, LARGEST_NUMBER))),
            models.CheckConstraint(
                name="top_up_forward", condition=Q(expires_at__isnull=True) | Q(expires_at__gt=F("starts_at"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account}: {self.tokens} tokens"

    @property
    def terms(self) -> TopUp:
        """As the rules know it."""
        return TopUp(self.tokens, self.starts_at, self.expires_at, self.spent, row=self.pk)

    def clean(self) -> None:
        if self.expires_at and self.starts_at and self.expires_at <= self.starts_at:
            raise ValidationError({"expires_at": "Must be later than the start."})
