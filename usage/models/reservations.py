"""Reservations: what a call may cost at most is charged before it, and what it has cost is settled after it."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Reservation(models.Model):
    """One reservation, as the log tells it. Its id is that of the charge of its bound.

    `bound` is what it holds of its window's quota; what a child has taken of it is the child's. `charged` and
    `uncollected` are known when it is finished: what it cost in the end, and what it would have cost above that, which
    the quota did not have. `units` are those that were asked for, then those that were used; `estimated`, nobody has
    reported them.
    """

    class State(models.TextChoices):
        OPEN = "open"
        SETTLED = "settled"
        RELEASED = "released"
        EXPIRED = "expired"

    id = models.UUIDField(primary_key=True)
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, db_constraint=False, related_name="+"
    )
    feature = models.CharField(max_length=50)
    model = models.CharField(max_length=100, blank=True, help_text="Empty: its bound was given in tokens.")
    run = models.CharField(max_length=64, blank=True)
    parent_id = models.UUIDField(null=True)
    key_prefix = models.CharField(max_length=8, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    bound = models.BigIntegerField()
    charged = models.BigIntegerField(null=True)
    uncollected = models.BigIntegerField(null=True)
    estimated = models.BooleanField(default=False)
    by_redis = models.BooleanField(default=True, help_text="Redis holds it. Otherwise it was opened without Redis.")
    outcome = models.CharField(max_length=10, blank=True)
    units = models.JSONField(null=True)
    opened_at = models.DateTimeField()
    expires_at = models.DateTimeField(help_text="Heartbeats that prolong it are known to Redis alone.")
    finished_at = models.DateTimeField(null=True)
    progress = models.BigIntegerField(null=True, help_text="Tokens by a heartbeat without Redis.")
    progress_units = models.JSONField(null=True)

    class Meta:
        ordering = ["-opened_at", "-id"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["account", "-opened_at", "-id"], name="reservations_of_account"),
            models.Index(fields=["run", "account", "-opened_at"], name="reservations_of_run"),
            models.Index(fields=["expires_at"], name="reservations_open", condition=models.Q(state="open")),
            models.Index(fields=["state", "-finished_at"], name="reservations_finished"),
            models.Index(
                fields=["account", "-opened_at", "-id"],
                name="reservations_open_of_account",
                condition=models.Q(state="open"),
            ),
            models.Index(
                fields=["account", "-finished_at"],
                name="reservations_lost",
                condition=models.Q(state="expired") | models.Q(uncollected__gt=0),
            ),
            models.Index(
                fields=["-finished_at"], name="reservations_uncollected", condition=models.Q(uncollected__gt=0)
            ),
        ]

    def __str__(self) -> str:
        return f"reservation {self.id}"
