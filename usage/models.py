"""What was used: the audit log, which is only ever appended to, and the sums the drain keeps from it."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from billing.rules.instants import EPOCH


class UsageLog(models.Model):
    """One audit event. Partitioned by month of `charged_at`; the table's key is (id, charged_at).

    `id` is the event's own, `event_id` the charge it belongs to: a void has the id of its charge there, and tokens
    below zero, so the sum of a window is its counter.
    """

    class Kind(models.TextChoices):
        CHARGE = "charge"
        VOID = "void"
        SETTLE = "settle"
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


class IdempotencyRecord(models.Model):
    """An Idempotency-Key of a metered call, for when Redis cannot tell: from the drain, or a call without Redis.

    `key` is the digest that names it in Redis too, `audit` the text of the event that was charged. The request is in
    flight until `in_flight_until`; afterwards, or once a run has ended (null), the charge stands: the kept answer is
    given again, or the request runs again, uncharged. `others` are further charges of the same request, by a side that
    could not know of this one. A released key is free: its charge was voided, and Redis may not know it yet.
    """

    pk = models.CompositePrimaryKey("account_id", "key")
    account_id = models.BigIntegerField()
    key = models.CharField(max_length=32)
    fingerprint = models.CharField(max_length=32)
    event_id = models.UUIDField()
    audit = models.BinaryField()
    in_flight_until = models.DateTimeField(null=True)
    reruns = models.IntegerField(default=0)
    answer_head = models.BinaryField(null=True)
    answer_body = models.BinaryField(null=True)
    others = ArrayField(models.UUIDField(), default=list)
    released = models.BooleanField(default=False)
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "usage_receipt"
        indexes = [
            models.Index(fields=["expires_at"], name="receipt_expiry"),
            models.Index(fields=["account_id"], name="charged_more_than_once", condition=~models.Q(others=[])),
        ]

    def __str__(self) -> str:
        return f"{self.key} of account {self.account_id}"


class RedisOutage(models.Model):
    """A time in which some process could not reach Redis and decided by PostgreSQL. At most one goes on.

    `seen_at` is when a process last found Redis out of reach.
    """

    began_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "Redis outage"
        constraints = [
            models.UniqueConstraint(models.Value(1), name="one_outage_at_a_time", condition=models.Q(ended_at=None))
        ]

    def __str__(self) -> str:
        return f"from {self.began_at:%Y-%m-%d %H:%M:%S} to {self.ended_at or 'now'}"


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


class Reconciliation(models.Model):
    """One comparison of all accounts: how many drifted, and how many of those were repaired. The last is a metric."""

    began_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    accounts = models.BigIntegerField()
    windows = models.BigIntegerField()
    drifting = models.BigIntegerField()
    repaired = models.BigIntegerField()

    class Meta:
        indexes = [models.Index(fields=["finished_at"], name="reconciliation_last")]

    def __str__(self) -> str:
        return f"of {self.finished_at:%Y-%m-%d %H:%M:%S}"
