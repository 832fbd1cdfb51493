"""The limits of a key, as forms take them and pages show them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from django import forms
from django.db import InterfaceError, OperationalError
from django.utils.translation import gettext_lazy

from billing.models import ApiKey
from billing.models.entitlements.budgets import LARGEST, terms_of
from billing.rules.instants import from_ms
from billing.rules.tokens.budgets import Budgets
from ratelimit.budgets import COUNTED
from usage.metering import admit

NAMES: Final[Mapping[str, Any]] = {
    "requests_per_minute": gettext_lazy("Requests per minute"),
    "tokens_per_day": gettext_lazy("Tokens per day"),
    "tokens_per_month": gettext_lazy("Tokens per month"),
    "tokens_per_run": gettext_lazy("Tokens per run"),
    "calls_per_run": gettext_lazy("Calls per run"),
    "open_per_run": gettext_lazy("Open reservations per run"),
    "repeats_per_run": gettext_lazy("Equal requests in a row"),
}
HINTS: Final[Mapping[str, Any]] = {
    "tokens_per_day": gettext_lazy("Days begin at midnight in UTC."),
    "tokens_per_month": gettext_lazy("Months of the calendar, in UTC."),
    "tokens_per_run": gettext_lazy("A run is what an agent names in the header Usage-Run."),
    "calls_per_run": gettext_lazy("Failed calls count, too."),
    "repeats_per_run": gettext_lazy("In one run; the next one is refused, since the agent is probably in a loop."),
}


class LimitsForm(forms.Form):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        for name, label in NAMES.items():
            self.fields[name] = forms.IntegerField(
                label=label,
                min_value=0,
                max_value=LARGEST[name],
                required=False,
                help_text=HINTS.get(name, ""),
                widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
            )

    def given(self) -> dict[str, int | None]:
        return {name: self.cleaned_data[name] for name in NAMES}


def said(key: ApiKey) -> list[tuple[Any, int]]:
    """The key's own limits, by their names."""
    return [(NAMES[name], maximum) for name, maximum in terms_of(key)._asdict().items() if maximum is not None]


class Stands(NamedTuple):
    """A limit that is in force, the key's own or its plan's, and what is used of it."""

    name: Any
    used: int
    maximum: int | None
    resets_at: datetime | None


def standings(key: ApiKey, now: datetime) -> list[Stands]:
    """None while nobody can tell."""
    try:
        budgets = admit.standing(key.account_id, now, key).budgets
    except (admit.Unavailable, OperationalError, InterfaceError):
        return []
    return [
        Stands(
            NAMES[Budgets._fields[part]],
            standing.used,
            standing.limit.maximum,
            from_ms(standing.limit.ends_at_ms) if part in COUNTED else None,
        )
        for part, standing, _ in budgets
    ]
