"""The audit log, which is only ever appended to; months that have left it, and entries it could not take."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class UsageLog(models.Model):
    """One audit event. Partitioned by month of `charged_at`; the table's key is (id, charged_at).

    `id` is the event's own, `event_id` the charge it belongs to: a void has the id of its charge there, and tokens
    below zero, so the sum of a window is its counter.
    """

    class Kind(models.TextChoices):
        CHARGE = "charge"
        VOID = "void"
        SETTLE = "settle"
        EXTEND = "extend"
        """Moves the bound of a reservation."""
        RESET = "reset"
        REFUSED = "refused"
        """Of no tokens: takes the id of a call that was refused when it was not known whether Redis had charged it."""

    id = models.UUIDField(primary_key=True)
    event_id = models.UUIDField()
    charged_at = models.DateTimeField(help_text="When the call was made; it picks the window.")
    created_at = models.DateTimeField(help_text="When this happened to it: the charge itself, or its void.")
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    feature = models.CharField(max_length=50)
    tokens = models.BigIntegerField()
    kind = models.CharField(max_length=10, choices=Kind)
    source = models.CharField(max_length=10)
    key_prefix = models.CharField(max_length=8, blank=True)
    window_starts_at = models.DateTimeField()
    metadata = models.JSONField(null=True)

    class Meta:
        ordering = ["-charged_at", "-id"]
        verbose_name = "usage log entry"
        verbose_name_plural = "usage log"
        indexes = [models.Index(fields=["account", "-charged_at", "-id"], name="usage_log_of_account")]

    def __str__(self) -> str:
        return f"{self.kind} {self.event_id}"


class UsageReset(models.Model):
    """Staff gave an account the quota of a window anew. Its rows of the log take back what was used."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="usage_resets")
    window_starts_at = models.DateTimeField()
    tokens = models.BigIntegerField(help_text="What was used of the window, and was given back.")
    reason = models.CharField(max_length=200, help_text="The customer does not see it.")
    reset_at = models.DateTimeField()
    reset_by = models.CharField(max_length=150, help_text="Who did it.")

    class Meta:
        ordering = ["-reset_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.account}: {self.tokens} tokens"


class SetAsideEntry(models.Model):
    """A stream entry that could not be read as an event: kept until a retry counts it or a person deletes it."""

    shard = models.PositiveIntegerField()
    stream_id = models.CharField(max_length=50)
    payload = models.BinaryField()
    error = models.CharField(max_length=500)
    set_aside_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "set-aside entries"
        constraints = [models.UniqueConstraint(name="set_aside_once", fields=["shard", "stream_id"])]

    def __str__(self) -> str:
        return f"{self.stream_id} of shard {self.shard}"


class RetiredMonth(models.Model):
    """A month that leaves the log. From this row on the log takes no event of it, or of any month before it, again.

    `rows`, `tokens`, `file` and `sha256` are its export's. `left_at` is set when it has left and its export is proven.
    """

    starts_at = models.DateTimeField(primary_key=True)
    closed_at = models.DateTimeField(auto_now_add=True)
    rows = models.BigIntegerField(null=True)
    tokens = models.BigIntegerField(null=True)
    file = models.TextField(blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    left_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m}"


class ReceivedEvent(models.Model):
    """An event that was reported by who serves the calls, known by the id that its sender gave it: so it counts once.

    `event_id` is its row of the log. Forgotten after LATE_EVENT_DAYS_MOST and a day.
    """

    pk = models.CompositePrimaryKey("account_id", "source", "sent_id")
    account_id = models.BigIntegerField()
    source = models.CharField(max_length=255, blank=True, help_text="A CloudEvent's; empty: a plain event.")
    sent_id = models.CharField(max_length=255)
    event_id = models.UUIDField()
    key_prefix = models.CharField(max_length=8, blank=True, help_text="Of the API key that it came with.")
    received_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["received_at"], name="received_events_to_forget")]

    def __str__(self) -> str:
        return f"{self.sent_id} of account {self.account_id}"
