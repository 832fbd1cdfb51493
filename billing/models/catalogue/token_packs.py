"""Tokens that customers buy on top of their quota."""

from __future__ import annotations

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from billing.models.amounts import check_currency, too_exact
from billing.models.catalogue.plans import code_validator
from ratelimit.limits import LARGEST_NUMBER

LONGEST_DAYS = 3_660


class TokenPack(models.Model):
    code = models.CharField(
        max_length=50,
        unique=True,
        validators=[code_validator],
        help_text="What the API calls the pack. Clients rely on it: it cannot be changed later.",
    )
    name = models.CharField(max_length=100)
    tokens = models.PositiveBigIntegerField(validators=[MinValueValidator(1), MaxValueValidator(LARGEST_NUMBER)])
    price = models.DecimalField(max_digits=15, decimal_places=4, validators=[MinValueValidator(Decimal(0))])
    currency = models.CharField(max_length=3, default="USD", help_text="ISO 4217, such as USD.")
    valid_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(LONGEST_DAYS)],
        help_text="From when they count. Blank means when the usage window ends, which is the latest they can hold.",
    )
    counts_at_once = models.BooleanField(
        default=False, help_text="The tokens count from the purchase on. Otherwise they do once the invoice is paid."
    )
    is_on_sale = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    history = HistoricalRecords()

    class Meta:
        ordering = ["tokens", "code"]
        constraints = [
            models.CheckConstraint(name="pack_countable", condition=Q(tokens__range=(1, LARGEST_NUMBER))),
            models.CheckConstraint(name="pack_price_not_negative", condition=Q(price__gte=0)),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        check_currency(self.currency)
        if self.price is not None and (wrong := too_exact(self.price, self.currency)):
            raise ValidationError({"price": wrong})
