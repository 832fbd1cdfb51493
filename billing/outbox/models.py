"""The messages, and how far each consumer has come in each account's."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q

LONGEST_BACKOFF = timedelta(hours=1)
LONGEST_ERROR = 500


class OutboxMessage(models.Model):
    """Something that happened to an account. `billing.outbox.record` writes it in the transaction of the fact.

    Consumers know a message by its `id`. Transactions may commit in another order than they took their ids from the
    sequence, so ids give no order that a reader could follow without skipping one that is late. Positions do: the
    dispatcher gives them to committed messages, and a message that commits later gets a higher one. Database triggers
    refuse every other change, and the deletion of a message without a position.
    """

    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    kind = models.CharField(max_length=50)
    payload = models.JSONField(help_text="Ids, numbers and codes; never personal data.")
    recorded_at = models.DateTimeField()
    actor = models.CharField(
        max_length=60,
        blank=True,
        default="",
        db_default="",
        help_text="`user:` and an id, `key:` and a prefix, or blank: nobody.",
    )
    position = models.BigIntegerField(null=True, help_text="Consumers get an account's messages in this order.")

    class Meta:
        indexes = [
            models.Index(fields=["id"], name="outbox_without_position", condition=Q(position=None)),
            models.Index(fields=["account", "position"], name="outbox_of_account", condition=Q(position__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} ({self.pk})"


class OutboxCursorQuerySet(models.QuerySet["OutboxCursor"]):
    def waiting(self) -> OutboxCursorQuerySet:
        """Cursors with messages that their consumer has not got."""
        return self.filter(delivered__lt=F("latest"))

    def due(self, consumer: str, now: datetime) -> OutboxCursorQuerySet:
        """The consumer's cursors that may be claimed, those that wait longest first."""
        return self.waiting().filter(consumer=consumer, due_at__lte=now).order_by("due_at")

    def failing(self) -> OutboxCursorQuerySet:
        """Cursors whose next message was tried in vain, and holds up the account's later ones."""
        return self.waiting().filter(Q(attempts__gt=1) | ~Q(error=""))

    def claim(self, consumer: str, now: datetime, passing_over: Collection[int] = ()) -> OutboxCursor | None:
        """Lease the consumer's next account to the caller, but for the accounts in `passing_over`.

        Raises RuntimeError within a transaction, since a consumer's work belongs outside of one.
        """
        with transaction.atomic(durable=True):
            free = self.due(consumer, now).exclude(account__in=passing_over)
            cursor = free.select_for_update(skip_locked=True).first()
            if cursor is not None:
                cursor.attempts += 1
                cursor.due_at = now + max(lease(), cursor.backoff)
                cursor.save(update_fields=["attempts", "due_at"])
        return cursor


class OutboxCursor(models.Model):
    """How far one consumer has come in one account's messages.

    A dispatcher that claims it moves `due_at` ahead, by the time that a call may take: until then nobody else claims
    it. One that was killed, or hangs, lets this lease run out, and the message is tried again. `due_at` also tells one
    lease from the next, so a dispatcher that comes back after its lease has run out changes nothing.
    """

    consumer = models.CharField(max_length=50)
    account = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    delivered = models.BigIntegerField(help_text="Position of the last message that was delivered or skipped.")
    latest = models.BigIntegerField(help_text="Position of the account's last message.")
    due_at = models.DateTimeField(help_text="Not tried before; while a dispatcher is at it, the end of its lease.")
    attempts = models.PositiveIntegerField(default=0, help_text="Tries of the message after `delivered`.")
    error = models.CharField(max_length=LONGEST_ERROR, blank=True)
    objects = OutboxCursorQuerySet.as_manager()

    class Meta:
        verbose_name = "outbox delivery"
        verbose_name_plural = "outbox deliveries"
        indexes = [
            models.Index(fields=["consumer", "due_at"], name="outbox_due", condition=Q(delivered__lt=F("latest")))
        ]
        constraints = [models.UniqueConstraint(name="outbox_cursor_once", fields=["consumer", "account"])]

    def __str__(self) -> str:
        return f"{self.consumer} for account {self.account_id}"

    @property
    def is_failing(self) -> bool:
        """Whether the next message was tried in vain; the rule of `failing`."""
        return self.delivered < self.latest and (self.attempts > 1 or self.error != "")

    @property
    def backoff(self) -> timedelta:
        """From a try that failed to the next one: 2 s, then twice as long each time, at most an hour."""
        return min(timedelta(seconds=2 ** min(self.attempts, 20)), LONGEST_BACKOFF)

    @property
    def waiting(self) -> models.QuerySet[OutboxMessage]:
        """The messages that the consumer has not got, in order."""
        ahead = OutboxMessage.objects.filter(account=self.account_id, position__gt=self.delivered)
        return ahead.order_by("position")

    def advance(self, position: int, now: datetime, *, goes_on: bool) -> bool:
        """Note a delivery. With `goes_on` the lease holds for one more call, else it ends.

        False where the lease has run out and the cursor is somebody else's by now.
        """
        until = now + lease() if goes_on else now
        return self._under_lease(delivered=position, attempts=int(goes_on), due_at=until, error="")

    def fail(self, error: str, now: datetime) -> bool:
        """Note a failed try; the message is tried again after the backoff. False as in `advance`."""
        # PostgreSQL's text holds neither NUL nor half a surrogate pair, and whatever a consumer says has to be noted.
        said = error[:LONGEST_ERROR].encode(errors="replace").decode().replace("\0", "?")
        return self._under_lease(due_at=now + self.backoff, error=said)

    def retry(self, now: datetime) -> bool:
        """Let the message that failed be tried now. False where it was delivered since this row was read."""
        return self._unless_moved(due_at=now)

    def skip(self, now: datetime) -> OutboxMessage | None:
        """Give up the next message for this consumer, so that the account's later ones go on.

        None where no message waits, or the next one was delivered since this row was read.
        """
        message = self.waiting.first()
        if message is None:
            return None
        skipped = self._unless_moved(delivered=message.position, attempts=0, due_at=now, error="")
        return message if skipped else None

    def _under_lease(self, **changes: object) -> bool:
        if not OutboxCursor.objects.filter(pk=self.pk, due_at=self.due_at).update(**changes):
            return False
        for name, value in changes.items():
            setattr(self, name, value)
        return True

    def _unless_moved(self, **changes: object) -> bool:
        return OutboxCursor.objects.filter(pk=self.pk, delivered=self.delivered).update(**changes) > 0


def lease() -> timedelta:
    """How long one call of a consumer may take."""
    return timedelta(seconds=settings.OUTBOX_LEASE_SECONDS)
