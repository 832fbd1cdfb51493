"""Chains that are read, how far each was read, and the tokens that are money on them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.db import models
from django.db.models import Q

from billing.models.amounts import check_currency
from billing.rules.payments.chain_units import TokenTerms

HASH_LENGTH: Final = 66
ADDRESS_LENGTH: Final = 42
STALE_AFTER: Final = timedelta(minutes=5)
"""A chain whose newest block is older, or that nobody has read for so long, is stalled."""


class ChainQuerySet(models.QuerySet["Chain"]):
    def enabled(self) -> ChainQuerySet:
        return self.filter(is_enabled=True)


class Chain(models.Model):
    """An EVM chain. `billing.payments.chains` writes how far it was read. RPC addresses are in the environment."""

    chain_id = models.PositiveBigIntegerField(unique=True, help_text="As EIP-155 has it: 1 is Ethereum.")
    name = models.CharField(max_length=50)
    genesis_hash = models.CharField(max_length=HASH_LENGTH, help_text="Hash of block 0; another one stops the watcher.")
    confirmations = models.PositiveIntegerField(
        default=12, help_text="Blocks that have to follow the one of a transfer before it counts."
    )
    use_finalized = models.BooleanField(
        default=False, help_text="Count nothing that the chain does not call finalized, however many blocks follow."
    )
    is_enabled = models.BooleanField("enabled", default=True)
    cursor_number = models.BigIntegerField(null=True, editable=False, help_text="The last block that was read.")
    cursor_hash = models.CharField(max_length=HASH_LENGTH, blank=True, editable=False)
    swept_number = models.BigIntegerField(
        null=True, editable=False, help_text="Up to here addresses of long ago were read, too."
    )
    head_number = models.BigIntegerField(null=True, editable=False)
    head_hash = models.CharField(
        max_length=HASH_LENGTH, blank=True, editable=False, help_text="Of the newest block that was looked at wholly."
    )
    head_at = models.DateTimeField(null=True, editable=False, help_text="The newest block's own time.")
    read_at = models.DateTimeField(null=True, editable=False, help_text="When a look at the chain ended well.")
    stalled_since = models.DateTimeField(null=True, editable=False)
    parked_at = models.DateTimeField(null=True, editable=False, help_text="Nothing is read until staff release it.")
    parked_because = models.CharField(max_length=200, blank=True, editable=False)
    objects = ChainQuerySet.as_manager()

    class Meta:
        ordering = ["chain_id"]
        constraints = [
            models.CheckConstraint(
                name="chain_cursor_has_hash",
                condition=Q(cursor_number=None, cursor_hash="") | Q(Q(cursor_number__gte=0), ~Q(cursor_hash="")),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def caip2(self) -> str:
        """Its name everywhere, such as `eip155:1`; the source of money that came over it."""
        return f"eip155:{self.chain_id}"

    def is_stalled(self, now: datetime) -> bool:
        """Whether payments on it go unseen: it has made no block lately, or nobody reads it."""
        return self.stalled_since is not None or self.read_at is None or now - self.read_at > STALE_AFTER

    def state(self, now: datetime) -> str:
        """`ok`, `parked`, or `stalled`."""
        return "parked" if self.parked_at else "stalled" if self.is_stalled(now) else "ok"


class ChainCheckpoint(models.Model):
    """Where the cursor stood: to one of these it steps back when the chain was reorganised behind it."""

    chain = models.ForeignKey(Chain, on_delete=models.CASCADE, related_name="checkpoints", db_index=False)
    number = models.BigIntegerField()
    hash = models.CharField(max_length=HASH_LENGTH)

    class Meta:
        ordering = ["-number"]
        default_permissions = ()
        constraints = [models.UniqueConstraint(name="checkpoint_once", fields=["chain", "number"])]

    def __str__(self) -> str:
        return f"{self.chain} {self.number}"


class TokenQuerySet(models.QuerySet["Token"]):
    def payable(self) -> TokenQuerySet:
        """Those in which an invoice of their currency can be paid: staff allow it, and the chain is read.

        What is paid before the watcher's first look lies below its cursor: nobody would see it.
        """
        found = self.filter(is_enabled=True, chain__is_enabled=True, chain__parked_at=None)
        return found.filter(chain__cursor_number__isnull=False).select_related("chain").order_by("pk")


class Token(models.Model):
    """A stablecoin at par with a currency: one unit of it is one of the currency."""

    code = models.SlugField(max_length=50, unique=True, help_text="As the HTTP API names it, such as usdc.")
    chain = models.ForeignKey(Chain, on_delete=models.PROTECT, related_name="tokens", db_index=False)
    symbol = models.CharField(max_length=20)
    contract = models.CharField(max_length=ADDRESS_LENGTH, help_text="Its address, with the checksum of EIP-55.")
    decimals = models.PositiveSmallIntegerField(default=6)
    currency = models.CharField(max_length=3, help_text="What it is at par with: invoices in it can be paid.")
    tolerance = models.DecimalField(
        max_digits=18,
        decimal_places=4,
        default=Decimal(0),
        help_text="Where so much is missing at most, a credit note makes up for it.",
    )
    is_enabled = models.BooleanField("enabled", default=True)
    objects = TokenQuerySet.as_manager()

    class Meta:
        ordering = ["chain", "symbol"]
        constraints = [
            models.UniqueConstraint(name="token_contract_once", fields=["chain", "contract"]),
            models.CheckConstraint(name="token_decimals_within_bounds", condition=Q(decimals__lte=36)),
            models.CheckConstraint(name="token_tolerance_not_negative", condition=Q(tolerance__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} on {self.chain.name}"

    def clean(self) -> None:
        """Raises ValidationError."""
        check_currency(self.currency)

    @property
    def terms(self) -> TokenTerms:
        return TokenTerms(self.decimals, self.currency)
