"""Balance paid out in a token: asked for by the customer, approved and sent by staff, confirmed by the watcher."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from billing.models.payments.chains.chain import ADDRESS_LENGTH, HASH_LENGTH, Token
from billing.models.payments.chains.deposits import LARGEST_UNITS_DIGITS
from billing.models.payments.money import Refund


class CryptoRefundQuerySet(models.QuerySet["CryptoRefund"]):
    def waiting_for_staff(self) -> CryptoRefundQuerySet:
        """Those to be looked at, or to be sent."""
        return self.filter(state__in=(CryptoRefund.State.REQUESTED, CryptoRefund.State.APPROVED))


class CryptoRefund(models.Model):
    """Goes to an address that the customer named, never to where a transfer came from: that may be an exchange's."""

    class State(models.TextChoices):
        REQUESTED = "requested"
        APPROVED = "approved", "approved: to be sent"
        SENT = "sent", "sent: not confirmed yet"
        CONFIRMED = "confirmed"
        DECLINED = "declined"

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="crypto_refunds")
    refund = models.OneToOneField(Refund, on_delete=models.PROTECT, related_name="on_chain")
    token = models.ForeignKey(Token, on_delete=models.PROTECT, related_name="refunds")
    to_address = models.CharField(max_length=ADDRESS_LENGTH)
    units = models.DecimalField(max_digits=LARGEST_UNITS_DIGITS, decimal_places=0)
    state = models.CharField(max_length=10, choices=State, default=State.REQUESTED)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    requested_at = models.DateTimeField()
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    decided_at = models.DateTimeField(null=True)
    tx_hash = models.CharField("transaction", max_length=HASH_LENGTH, blank=True)
    log_index = models.BigIntegerField(null=True, help_text="Of the transfer in its block, once it is confirmed.")
    confirmed_at = models.DateTimeField(null=True)
    problem = models.CharField(max_length=200, blank=True, help_text="Why the last transaction did not count.")
    objects = CryptoRefundQuerySet.as_manager()

    class Meta:
        ordering = ["-requested_at", "-pk"]
        default_permissions = ("view", "change")
        indexes = [models.Index(fields=["-requested_at", "-id"], name="crypto_refund_asked")]
        constraints = [
            models.CheckConstraint(name="crypto_refund_positive", condition=Q(units__gt=0)),
            models.CheckConstraint(
                name="crypto_refund_sent_by_transaction",
                condition=Q(Q(state__in=("sent", "confirmed")), ~Q(tx_hash=""))
                | Q(state__in=("requested", "declined", "approved"), tx_hash=""),
            ),
            models.UniqueConstraint(
                name="crypto_refund_confirmed_once",
                fields=["token", "tx_hash", "log_index"],
                condition=Q(state="confirmed"),
            ),
            models.UniqueConstraint(
                name="crypto_refund_asked_once",
                fields=["account", "token"],
                condition=Q(state="requested"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.token.terms.shown(int(self.units))} {self.token.symbol} to {self.to_address}"
