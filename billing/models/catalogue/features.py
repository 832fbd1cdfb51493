"""What is metered, and the paths it is metered at. Rows, never constants."""

from __future__ import annotations

import re

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from billing.fence.fenced import FencedModel
from billing.models.catalogue.plans import Capability, code_validator
from billing.rules.routes import has_parameters, shape, why_no_route

LARGEST_COST = 10**9


class Feature(FencedModel):
    """What is metered: every successful call costs `tokens`."""

    MEMBERS_BESIDE_CODES = frozenset({"total"})
    """Of answers that have features' codes as members: a feature of that name would not be seen there."""

    code = models.CharField(max_length=50, unique=True, validators=[code_validator])
    name = models.CharField(max_length=100, blank=True)
    tokens = models.PositiveIntegerField(
        validators=[MaxValueValidator(LARGEST_COST)], help_text="Cost of one successful call."
    )
    capability = models.ForeignKey(
        Capability,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="features",
        help_text="Plans without it answer 403. Blank: every plan has the feature.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    history = HistoricalRecords()

    class Meta:
        ordering = ["code"]
        constraints = [models.CheckConstraint(name="feature_cost_countable", condition=Q(tokens__lte=LARGEST_COST))]

    def __str__(self) -> str:
        return self.code

    def clean(self) -> None:
        if self._state.adding and self.code in self.MEMBERS_BESIDE_CODES:
            raise ValidationError({"code": f"“{self.code}” has a meaning in answers of the API. Take another code."})


def normalised_path(path: str) -> str:
    """The one spelling under which paths are compared: single slashes, no slash at the end, lower case.

    Too generous on purpose: a view that answers at an odd spelling of a metered path is metered as well (law L8).
    """
    return "/" + "/".join(segment for segment in path.casefold().split("/") if segment)


class Route(FencedModel):
    """Which path belongs to which feature; `Catalogue.feature_at` has which of several routes wins."""

    class Method(models.TextChoices):
        ANY = "", "any"
        GET = "GET", "GET and HEAD"
        POST = "POST"
        PUT = "PUT"
        PATCH = "PATCH"
        DELETE = "DELETE"

    path = models.CharField(
        max_length=200, help_text="Such as /api/v1/trace/start, which covers /api/v1/trace/start/7 as well."
    )
    method = models.CharField(max_length=6, choices=Method, blank=True, default=Method.ANY)
    feature = models.ForeignKey(Feature, on_delete=models.CASCADE, related_name="routes")
    history = HistoricalRecords()

    class Meta:
        ordering = ["path", "method"]
        constraints = [models.UniqueConstraint(name="route_once", fields=["path", "method"])]

    def __str__(self) -> str:
        return f"{self.method or 'any'} {self.path}"

    def clean(self) -> None:
        if not re.fullmatch(r"/[^\s?#%]+", self.path):
            raise ValidationError({"path": "Give a path such as /api/v1/trace/start: no query, no % escapes, no host."})
        self.path = normalised_path(self.path)
        if reason := why_no_route(self.path, settings.OWN_PATHS):
            raise ValidationError({"path": reason})
        if has_parameters(self.path):
            others = Route.objects.filter(path__contains="{", method=self.method).exclude(pk=self.pk)
            same = next((other for other in others if shape(other.path) == shape(self.path)), None)
            if same is not None and same.path != self.path:
                raise ValidationError({"path": f"{same} covers the same paths."})
