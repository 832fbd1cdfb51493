"""Mails: what was sent to whom, and a local mailbox for when no provider is set."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class SentMail(models.Model):
    """A mail about a message of the outbox: there is one row a message, written before the mail is sent.

    The mail's Message-ID is made of the message, so a mail that a provider got twice can be told as one.
    """

    message_id = models.BigIntegerField(unique=True, help_text="Of the outbox.")
    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="sent_mails")
    kind = models.CharField(max_length=50, help_text="Of the message.")
    address = models.CharField("address digest", max_length=32, blank=True)
    first_tried_at = models.DateTimeField()
    tries = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    given_up_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True, help_text="What the last try that failed was told.")

    class Meta:
        ordering = ["-pk"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["account", "-id"], name="mails_of_account"),
            models.Index(fields=["given_up_at"], name="mails_not_sent", condition=models.Q(sent_at=None)),
        ]
        constraints = [
            models.CheckConstraint(name="mail_ends_once", condition=models.Q(sent_at=None) | models.Q(given_up_at=None))
        ]

    def __str__(self) -> str:
        return f"{self.kind} ({self.message_id})"

    @property
    def has_ended(self) -> bool:
        """Nobody tries it again."""
        return self.sent_at is not None or self.given_up_at is not None


class MailboxMessage(models.Model):
    """A mail in the local mailbox, one row a recipient. See billing.mails.mailbox."""

    account = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text="Whose address it was when the mail came.",
    )
    recipient = models.CharField(max_length=320)
    sender = models.CharField(max_length=320)
    subject = models.CharField(max_length=1000)
    text = models.TextField()
    html = models.TextField(blank=True)
    headers = models.JSONField(default=dict)
    attachments = models.JSONField(default=list, help_text="Their names.")
    received_at = models.DateTimeField()

    class Meta:
        ordering = ["-pk"]
        verbose_name = "mail"
        verbose_name_plural = "mailbox"
        default_permissions = ()

    def __str__(self) -> str:
        return self.subject


class KnownPlace(models.Model):
    """Where a person logged in from: a browser and a network, not its single address."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="known_places")
    digest = models.CharField(max_length=32)
    browser = models.CharField(max_length=60)
    network = models.CharField(max_length=60)
    first_seen_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(name="place_once", fields=["account", "digest"])]

    def __str__(self) -> str:
        return f"{self.browser}, {self.network}"
