"""Who bought which token pack, for which invoice, and the tokens that it became."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from billing.models.catalogue.token_packs import TokenPack
from billing.models.entitlements.allowances import TokenTopUp
from billing.models.invoicing.invoices import Invoice


class TokenPackPurchase(models.Model):
    """Written by `billing.entitlements.token_packs` and `billing.invoicing.pack_activation` alone."""

    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="token_pack_purchases")
    pack = models.ForeignKey(TokenPack, on_delete=models.PROTECT, related_name="purchases")
    invoice = models.OneToOneField(
        Invoice,
        null=True,
        on_delete=models.PROTECT,
        related_name="token_pack_purchase",
        help_text="None of a pack that costs nothing, unless zero invoices are issued.",
    )
    tokens = models.PositiveBigIntegerField(help_text="As they were sold.")
    valid_days = models.PositiveIntegerField(null=True)
    bought_at = models.DateTimeField()
    top_up = models.OneToOneField(
        TokenTopUp, null=True, on_delete=models.SET_NULL, related_name="purchase", help_text="None until they count."
    )
    activated_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-bought_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.account}: {self.pack}"
