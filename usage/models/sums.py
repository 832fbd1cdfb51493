"""What the drain adds up from the log: windows, features, days; thresholds crossed, and refused calls."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from billing.rules.instants import EPOCH


class WindowUsage(models.Model):
    """PostgreSQL's counter of one account and window. `revision` grows with every change; Redis takes no older one.

    The last three say when the notice thresholds are compared with it: see `usage.log.crossings`.
    """

    pk = models.CompositePrimaryKey("account_id", "starts_at")
    account_id = models.BigIntegerField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    tokens = models.BigIntegerField()
    revision = models.BigIntegerField()
    look_from = models.BigIntegerField(null=True, db_default=0, help_text="From so many tokens on; null: from none.")
    look_at = models.DateTimeField(
        null=True, db_default=EPOCH, help_text="At this time in any case; a new counter at once."
    )
    looked_catalogue = models.BigIntegerField(db_default=0, help_text="The catalogue's version at the last look.")

    class Meta:
        indexes = [
            models.Index(fields=["look_at"], name="window_to_look_at", condition=models.Q(look_at__isnull=False)),
            models.Index(fields=["ends_at"], name="window_usage_present"),
        ]


class ThresholdCrossed(models.Model):
    """A threshold of a usage window that was crossed, and was told by a message of the outbox: once, by this row."""

    class Of(models.TextChoices):
        INCLUDED = "included", "tokens that are included"
        CAP = "cap", "all tokens, with those that are sold above the quota"

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="thresholds_crossed")
    window_starts_at = models.DateTimeField()
    limit = models.CharField(max_length=10, choices=Of)
    tokens = models.BigIntegerField(help_text="The limit when it was crossed: a raised one is told of anew.")
    percent = models.PositiveSmallIntegerField()
    used = models.BigIntegerField()
    crossed_at = models.DateTimeField(help_text="When it was found.")

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "thresholds crossed"
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                name="crossed_once", fields=["account", "window_starts_at", "limit", "tokens", "percent"]
            )
        ]

    def __str__(self) -> str:
        return f"{self.percent} % of {self.tokens}"


class FeatureUsage(models.Model):
    """Tokens of one feature in one account's window; the features of a window add up to its counter."""

    pk = models.CompositePrimaryKey("account_id", "window_starts_at", "feature")
    account_id = models.BigIntegerField()
    window_starts_at = models.DateTimeField()
    feature = models.CharField(max_length=50)
    tokens = models.BigIntegerField()


class DailyUsage(models.Model):
    """One account's tokens and calls of one feature on one UTC date of the charge; a voided call does not count."""

    pk = models.CompositePrimaryKey("account_id", "date", "feature")
    account_id = models.BigIntegerField()
    date = models.DateField()
    feature = models.CharField(max_length=50)
    tokens = models.BigIntegerField()
    calls = models.BigIntegerField()


class RefusedCalls(models.Model):
    """Calls of one account that were refused on one UTC date, by feature ("" of none) and reason."""

    pk = models.CompositePrimaryKey("account_id", "date", "feature", "reason")
    account_id = models.BigIntegerField()
    date = models.DateField()
    feature = models.CharField(max_length=50)
    reason = models.CharField(max_length=30)
    calls = models.BigIntegerField()
