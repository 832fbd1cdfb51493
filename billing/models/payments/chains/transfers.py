"""What arrived at deposit addresses, and what of it was credited."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from billing.models.payments.chains.chain import ADDRESS_LENGTH, HASH_LENGTH, Chain, Token
from billing.models.payments.chains.deposits import LARGEST_UNITS_DIGITS, DepositAddress


class ChainTransfer(models.Model):
    """A transfer that the cursor has passed, known by its block and its place in it.

    A transaction that is mined again has the same hash and another block: it is another row.
    """

    class State(models.TextChoices):
        CREDITED = "credited", "credited"
        REVERSED = "reversed", "reversed: its block is no part of the chain any more"
        FOREIGN = "foreign", "foreign: not what was asked for, never credited"

    chain = models.ForeignKey(Chain, on_delete=models.PROTECT, related_name="transfers", db_index=False)
    block_number = models.BigIntegerField()
    block_hash = models.CharField(max_length=HASH_LENGTH)
    log_index = models.BigIntegerField(help_text="Below 0: the chain's own coin, which leaves no log.")
    tx_hash = models.CharField("transaction", max_length=HASH_LENGTH, blank=True)
    contract = models.CharField(max_length=ADDRESS_LENGTH, blank=True, help_text="Empty: the chain's own coin.")
    token = models.ForeignKey(Token, null=True, on_delete=models.PROTECT, related_name="transfers")
    sender = models.CharField(max_length=ADDRESS_LENGTH, blank=True)
    address = models.ForeignKey(DepositAddress, on_delete=models.PROTECT, related_name="transfers")
    units = models.DecimalField(max_digits=LARGEST_UNITS_DIGITS, decimal_places=0)
    state = models.CharField(max_length=10, choices=State)
    read_at = models.DateTimeField()

    class Meta:
        ordering = ["-block_number", "-log_index"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["-read_at", "-id"], name="transfer_read"),
            models.Index(fields=["chain", "-block_number"], name="transfer_of_block"),
        ]
        constraints = [
            models.UniqueConstraint(name="transfer_once", fields=["chain", "block_hash", "log_index"]),
            models.CheckConstraint(name="transfer_positive", condition=Q(units__gt=0)),
            models.CheckConstraint(name="transfer_credited_in_token", condition=Q(state="foreign") | ~Q(token=None)),
        ]

    def __str__(self) -> str:
        return f"{(self.tx_hash or self.block_hash)[:10]}… {self.log_index}"


class SeenTransfer(models.Model):
    """A transfer above what counts yet, for the customer's page alone: written anew with each look at the chain."""

    chain = models.ForeignKey(Chain, on_delete=models.CASCADE, related_name="+")
    address = models.ForeignKey(DepositAddress, on_delete=models.CASCADE, related_name="seen")
    block_number = models.BigIntegerField()
    units = models.DecimalField(max_digits=LARGEST_UNITS_DIGITS, decimal_places=0)

    class Meta:
        ordering = ["block_number"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.units} in {self.block_number}"


class TransferCredit(models.Model):
    """Money that an address was credited with, or that was taken back from it: their sum is what has arrived there.

    Above zero it is the `MoneyIn` of the chain's source and this reference; below zero a reversal.
    """

    address = models.ForeignKey(DepositAddress, on_delete=models.PROTECT, related_name="credits")
    token = models.ForeignKey(Token, on_delete=models.PROTECT, related_name="+")
    upto_units = models.DecimalField(
        max_digits=LARGEST_UNITS_DIGITS, decimal_places=0, help_text="All that had arrived at the address by then."
    )
    amount = models.DecimalField(max_digits=18, decimal_places=4, help_text="In the token's currency.")
    reference = models.CharField(max_length=200, unique=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]
        default_permissions = ("view",)
        constraints = [models.CheckConstraint(name="credit_not_zero", condition=~Q(amount=0))]

    def __str__(self) -> str:
        return self.reference
