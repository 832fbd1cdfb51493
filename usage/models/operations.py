"""What operation needs to know: Idempotency-Keys of calls, outages of Redis, the last comparison."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


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
        db_table = "usage_receipt"  # its name before; a renamed table would stop the processes that still run
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
