"""Budgets of API keys: what a key, and each run of an agent that calls with it, may use."""

from __future__ import annotations

from typing import Final

from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q

from billing.fence.fenced import FencedModel
from billing.fence.models import CATALOGUE
from billing.models.catalogue.plans import LARGEST_RATE, Plan
from billing.models.entitlements.api_keys import ApiKey
from billing.rules.tokens.budgets import NONE, Budgets
from ratelimit.limits import LARGEST_NUMBER

OF_THE_KEY: Final = Budgets._fields[:3]
LARGEST: Final = {name: LARGEST_NUMBER if name.startswith("tokens") else LARGEST_RATE for name in Budgets._fields}


def _bound(name: str, says: str, title: str | None = None) -> models.PositiveBigIntegerField[int | None, int | None]:
    most = MaxValueValidator(LARGEST[name])
    return models.PositiveBigIntegerField(title, null=True, blank=True, validators=[most], help_text=says)


class Budget(FencedModel):
    """Of one key; or of each key of a plan's subscribers. Where a key has both, the smaller of each holds."""

    key = models.OneToOneField(ApiKey, on_delete=models.CASCADE, null=True, blank=True, related_name="budget")
    plan = models.OneToOneField(Plan, on_delete=models.CASCADE, null=True, blank=True, related_name="key_budget")
    requests_per_minute = _bound("requests_per_minute", "In any 60 seconds. Blank means no budget.")
    tokens_per_day = _bound("tokens_per_day", "A day in UTC. Blank means no budget.")
    tokens_per_month = _bound("tokens_per_month", "A calendar month in UTC. Blank means no budget.")
    tokens_per_run = _bound("tokens_per_run", "Of all calls that name the run.")
    calls_per_run = _bound("calls_per_run", "Failed ones count, too.")
    open_per_run = _bound("open_per_run", "At once.", "open reservations per run")
    repeats_per_run = _bound("repeats_per_run", "Of one run; the next is refused as a loop.", "equal requests in a row")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(key__isnull=False, plan__isnull=True) | Q(key__isnull=True, plan__isnull=False),
                name="budget_of_key_or_plan",
            )
        ]

    def __str__(self) -> str:
        return f"budget of {self.plan or self.key}"

    def fence_subject(self) -> int:
        return self.key.account_id if self.key is not None else CATALOGUE

    @property
    def terms(self) -> Budgets:
        return Budgets(*(getattr(self, name) for name in Budgets._fields))


def terms_of(owner: ApiKey | Plan) -> Budgets:
    """Those of a key's or a plan's own row; NONE without one. The row is joined, or read here."""
    row: Budget | None = getattr(owner, "budget" if isinstance(owner, ApiKey) else "key_budget", None)
    terms = NONE if row is None else row.terms
    return NONE if terms == NONE else terms
