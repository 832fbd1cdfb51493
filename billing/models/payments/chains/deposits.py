"""Where customers pay to: an address for each invoice and token, made of a public key. No private key is known here."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from billing.models.invoicing.invoices import Invoice
from billing.models.payments.chains.chain import ADDRESS_LENGTH, Chain, Token

LARGEST_UNITS_DIGITS = 78
"""Of 2^256 - 1, the most that a contract counts."""


class DepositKey(models.Model):
    """An extended public key of the operator's wallet, as CHAIN_XPUBS names it, and how many addresses it has given."""

    chain = models.ForeignKey(Chain, on_delete=models.PROTECT, related_name="deposit_keys")
    xpub = models.CharField(max_length=120, unique=True)
    next_index = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["pk"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.xpub[:12]}… on {self.chain.name}"


class DepositAddress(models.Model):
    """Given out once, for one invoice, and watched for ever."""

    key = models.ForeignKey(DepositKey, on_delete=models.PROTECT, related_name="addresses", db_index=False)
    index = models.PositiveIntegerField(help_text="Of the address in the wallet.")
    address = models.CharField(max_length=ADDRESS_LENGTH, unique=True)
    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="deposit_addresses")
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="deposit_addresses")
    native_units = models.DecimalField(
        max_digits=LARGEST_UNITS_DIGITS,
        decimal_places=0,
        default=0,
        help_text="Of the chain's own coin, as last read.",
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]
        default_permissions = ("view",)
        verbose_name_plural = "deposit addresses"
        constraints = [models.UniqueConstraint(name="deposit_index_once", fields=["key", "index"])]

    def __str__(self) -> str:
        return self.address


class PaymentRequest(models.Model):
    """An invoice that its customer wants to pay in a token: there is one for each pair, with an address of its own."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="payment_requests", db_index=False)
    token = models.ForeignKey(Token, on_delete=models.PROTECT, related_name="payment_requests")
    address = models.OneToOneField(DepositAddress, on_delete=models.PROTECT, related_name="request")
    units = models.DecimalField(
        max_digits=LARGEST_UNITS_DIGITS, decimal_places=0, help_text="What was asked for, in units of the token."
    )
    shown_until = models.DateTimeField(help_text="The page ends then. The address does not.")
    closed_at = models.DateTimeField(null=True, help_text="Nothing is due on the invoice any more.")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at", "-pk"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(name="request_once", fields=["invoice", "token"]),
            models.CheckConstraint(name="request_of_something", condition=Q(units__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.invoice} in {self.token}"
