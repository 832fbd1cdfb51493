"""What a model's units cost at a feature, from an instant on. Rows are added, never changed."""

from __future__ import annotations

from datetime import datetime

from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from billing.fence.fenced import FencedModel
from billing.models.catalogue.features import Feature
from billing.rules.tokens.model_prices import LARGEST_RATE, ModelRates

RATES = ("input", "cache_read", "cache_write", "output", "fixed")
_bounded = [MaxValueValidator(LARGEST_RATE)]
_model_name = RegexValidator(r"^[!-~]+\Z", "Letters, digits and signs such as - . : and /, without spaces.")


def followed(now: datetime) -> Exists:
    """Of a price: whether a later one of its model and feature holds by now."""
    same = ModelPrice.objects.filter(model=OuterRef("model"), feature=OuterRef("feature"))
    return Exists(same.filter(valid_from__gt=OuterRef("valid_from"), valid_from__lte=now))


class ModelPriceQuerySet(models.QuerySet["ModelPrice"]):
    def sold(self, now: datetime) -> ModelPriceQuerySet:
        """The prices that hold now, of models on sale."""
        return self.filter(~followed(now), valid_from__lte=now, is_on_sale=True)


class ModelPrice(FencedModel):
    """The price of a model at a feature. It holds until a later row of the two does.

    Rates are of 1,000 units, and all numbers thousandths of a token. What was reserved at a price is settled at it: so
    a row in force stays as it is. One that is not yet in force may be deleted.
    """

    model = models.CharField(
        max_length=100, validators=[_model_name], help_text="As callers name it, such as m-large. It is case-sensitive."
    )
    feature = models.ForeignKey(
        Feature,
        on_delete=models.PROTECT,
        related_name="model_prices",
        help_text="Calls of this feature may name the model.",
    )
    input = models.PositiveIntegerField(validators=_bounded)
    cache_read = models.PositiveIntegerField(validators=_bounded)
    cache_write = models.PositiveIntegerField(validators=_bounded)
    output = models.PositiveIntegerField(validators=_bounded)
    fixed = models.PositiveIntegerField(default=0, validators=_bounded)
    is_on_sale = models.BooleanField(
        "on sale", default=True, help_text="Off: from then on callers are told that there is no such model."
    )
    valid_from = models.DateTimeField(default=timezone.now)
    objects = ModelPriceQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(name="model_price_once", fields=["model", "feature", "valid_from"]),
            models.CheckConstraint(
                name="model_price_bounded", condition=Q(**{f"{rate}__lte": LARGEST_RATE for rate in RATES})
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} at {self.feature.code} from {self.valid_from:%Y-%m-%d %H:%M} UTC"

    @property
    def rates(self) -> ModelRates:
        return ModelRates(
            model=self.model,
            feature=self.feature.code,
            input=self.input,
            cache_read=self.cache_read,
            cache_write=self.cache_write,
            output=self.output,
            fixed=self.fixed,
            version=self.pk,
        )

    def is_in_force(self, now: datetime) -> bool:
        """Whether it is or was: then it stays."""
        return self.valid_from <= now
