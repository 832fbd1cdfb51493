"""Staff move many subscribers from one plan to another: what was asked, and what became of each."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from billing.models.catalogue.plans import Plan
from billing.models.invoicing.invoices import Invoice
from billing.models.subscriptions.subscription import Subscription


class BulkMove(models.Model):
    """Tried one by one, shown to staff, confirmed, then done one by one; by `billing.subscriptions.bulk` alone."""

    class When(models.TextChoices):
        AT_PERIOD_END = "at_period_end", "when the present period of each ends"
        NOW = "now", "now: unused time is credited, the rest of the period charged"

    class State(models.TextChoices):
        TRYING = "trying", "being tried"
        READY = "ready", "waits for confirmation"
        MOVING = "moving", "moving"
        STOPPED = "stopped", "stopped"
        FINISHED = "finished", "finished"

    source = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    target = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+")
    when = models.CharField(max_length=20, choices=When)
    keeps_price = models.BooleanField(
        help_text="Whoever pays less than the target's price goes on paying what he pays."
    )
    reason = models.CharField(max_length=200, help_text="Why. Staff read it; the customers do not see it.")
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty: by a command.",
    )
    created_at = models.DateTimeField(default=timezone.now)
    tried_at = models.DateTimeField(null=True, help_text="All were tried, and staff can see the sums.")
    confirmed_at = models.DateTimeField(null=True)
    stopped_at = models.DateTimeField(null=True, help_text="Whoever had not been moved by then stays.")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view",)
        permissions = [("move_subscribers", "Can move many subscribers at once")]
        constraints = [models.CheckConstraint(name="move_elsewhere", condition=~Q(source=models.F("target")))]

    def __str__(self) -> str:
        return f"{self.source} to {self.target}, move {self.pk}"

    @property
    def state(self) -> State:
        if self.finished_at is not None:
            return self.State.FINISHED
        if self.stopped_at is not None:
            return self.State.STOPPED
        if self.confirmed_at is not None:
            return self.State.MOVING
        return self.State.TRYING if self.tried_at is None else self.State.READY


class BulkMoveItem(models.Model):
    """One subscription of a move: what the try foresaw, and later what happened, each with its amounts.

    Its try, or its change, is written in one transaction with it, so each is made exactly once.
    """

    class Outcome(models.TextChoices):
        WAITING = "", "waiting"
        MOVED = "moved", "moved"
        SCHEDULED = "scheduled", "scheduled"
        REFUSED = "refused", "refused"

    move = models.ForeignKey(BulkMove, on_delete=models.CASCADE, related_name="items", db_index=False)
    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="+")
    foreseen = models.CharField(max_length=10, choices=Outcome, blank=True, default=Outcome.WAITING)
    outcome = models.CharField(max_length=10, choices=Outcome, blank=True, default=Outcome.WAITING)
    refusal = models.CharField(max_length=50, blank=True, help_text="Why it cannot be moved, as a code.")
    keeps_price = models.BooleanField(default=False, help_text="It pays less than the target's price, and goes on so.")
    price_before = models.DecimalField(max_digits=15, decimal_places=4, default=0, help_text="Of its present period.")
    price_after = models.DecimalField(
        max_digits=15, decimal_places=4, default=0, help_text="Of a period on the target."
    )
    credit = models.DecimalField(max_digits=18, decimal_places=4, default=0)
    charge = models.DecimalField(max_digits=18, decimal_places=4, default=0)
    total = models.DecimalField(max_digits=18, decimal_places=4, default=0, help_text="Of its invoice.")
    seen = models.CharField(max_length=64, blank=True, help_text="A digest of what the try rested on.")
    invoice = models.ForeignKey(Invoice, null=True, on_delete=models.PROTECT, related_name="+")
    tried_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["move", "pk"]
        default_permissions = ()
        constraints = [models.UniqueConstraint(name="move_once", fields=["move", "subscription"])]
        indexes = [
            models.Index(fields=["move", "id"], name="move_to_try", condition=Q(foreseen="")),
            models.Index(fields=["move", "id"], name="move_to_do", condition=Q(outcome="")),
        ]

    def __str__(self) -> str:
        return f"{self.subscription}: {self.get_outcome_display()}"
