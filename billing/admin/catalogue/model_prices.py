"""Admin pages of what models cost by their units, with a calculator."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminIntegerFieldWidget

from billing.admin.base import FencedAdmin, ModelForm
from billing.api.sentences import to_staff
from billing.models import ModelPrice
from billing.models.catalogue.model_prices import RATES, followed
from billing.rules.tokens import model_prices
from billing.rules.tokens.model_prices import LARGEST_RATE, MOST_UNITS, PER_TOKEN, UNITS, ModelRates, WrongUnits

NAMES = {"input": "input", "cache_read": "read from a cache", "cache_write": "written to a cache", "output": "output"}
HELP = {
    "input": "Tokens for 1,000 units that were read from no cache.",
    "cache_read": "Tokens for 1,000 units that a cache had. 0 makes them free.",
    "cache_write": "Tokens for 1,000 units that were put into a cache.",
    "output": "Tokens for 1,000 units that the model made; its reasoning is among them.",
    "fixed": "Tokens for each call, whatever its units.",
}
EXAMPLE = {"input": 1_200, "cache_read": 0, "cache_write": 0, "output": 800}


def in_tokens(thousandths: int) -> str:
    return f"{(Decimal(thousandths) / PER_TOKEN).normalize():,f}"


class RateField(forms.DecimalField):
    """In tokens, where the row keeps thousandths."""

    def __init__(self, **kwargs: Any) -> None:
        most = Decimal(LARGEST_RATE) / PER_TOKEN
        super().__init__(
            min_value=0,
            max_value=most,
            decimal_places=3,
            required=False,
            widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.001"}),
            **kwargs,
        )

    def clean(self, value: Any) -> int | None:
        tokens = super().clean(value)
        return None if tokens is None else int(tokens * PER_TOKEN)


class UnitsForm(forms.Form):
    """How many units the calculator takes."""

    def __init__(self, given: Any = None) -> None:
        super().__init__(given, prefix="units", initial=EXAMPLE)
        for unit in UNITS:
            self.fields[unit] = forms.IntegerField(
                min_value=0,
                max_value=MOST_UNITS,
                required=False,
                label=NAMES[unit].capitalize(),
                widget=UnfoldAdminIntegerFieldWidget,
            )

    def cost(self, rates: ModelRates | None) -> str:
        """A sentence; empty where a number is missing or wrong."""
        if rates is None or (self.is_bound and not self.is_valid()):
            return ""
        units = self.cleaned_data if self.is_bound else EXAMPLE
        named = ", ".join(f"{number:,} {NAMES[unit]}" for unit, number in units.items() if number) or "Nothing"
        try:
            tokens = model_prices.cost(rates, units)
        except WrongUnits as error:
            return to_staff(error)
        exact = Fraction(sum((number or 0) * rates.of(unit) for unit, number in units.items()), 1_000) + rates.fixed
        rounded = "" if exact == tokens * PER_TOKEN else f", rounded up from {float(exact / PER_TOKEN):,.6g}"
        return f"{named}: {tokens:,} token{'' if tokens == 1 else 's'}{rounded}."


class ModelPriceForm(ModelForm[ModelPrice]):
    CALCULATE = "_calculate"
    input = RateField(label="Input", help_text=HELP["input"])
    cache_read = RateField(label="Read from a cache", help_text=HELP["cache_read"])
    cache_write = RateField(label="Written to a cache", help_text=HELP["cache_write"])
    output = RateField(label="Output", help_text=HELP["output"])
    fixed = RateField(label="Fixed part", help_text=HELP["fixed"], initial=0)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "valid_from" in self.fields:
            self.fields["valid_from"].required = False
            self.initial.pop("valid_from", None)
            self.fields["valid_from"].initial = None
            self.fields["valid_from"].help_text = "In UTC, not before now. Blank: at once."

    def is_valid(self) -> bool:
        """Whoever only calculates gets the form again."""
        return super().is_valid() and self.CALCULATE not in self.data

    def clean_valid_from(self) -> datetime:
        now = timezone.now()
        given: datetime = self.cleaned_data["valid_from"] or now
        if given < now:
            raise ValidationError("What was reserved before keeps its price. Give a time to come, or none: at once.")
        return given

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for name in RATES:
            if cleaned.get(name) is None and name not in self.errors:
                if name != "fixed" and cleaned.get("is_on_sale"):
                    self.add_error(name, "Say what these units cost; 0 makes them free.")
                cleaned[name] = 0
        return cleaned

    def rates(self) -> ModelRates | None:
        """As they were entered; None while there are none."""
        if not self.is_bound:
            return None
        self.full_clean()
        if any(name in self.errors for name in RATES):
            return None
        return ModelRates("", "", **{name: self.cleaned_data[name] for name in RATES}, version=0)


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("now", "In force"), ("ahead", "Ahead"), ("over", "Followed by another")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        ahead = Q(valid_from__gt=timezone.now())
        kinds = {"now": ~ahead & Q(is_over=False), "ahead": ahead, "over": Q(is_over=True)}
        return queryset.filter(kinds.get(self.value() or "", Q()))


@admin.register(ModelPrice)
class ModelPriceAdmin(FencedAdmin[ModelPrice]):
    """Prices are added and stay; one that is not yet in force can be deleted."""

    form = ModelPriceForm
    change_form_after_template = "admin/model_price_calculator.html"
    change_form_outer_after_template = "admin/model_price_calculator_of_row.html"
    list_display = ["model", "feature", "valid_from", "state", *(f"{name}_shown" for name in RATES)]
    list_filter = ["feature", StateFilter]
    list_select_related = ["feature"]
    search_fields = ["model"]
    ordering = ["model", "feature", "-valid_from"]
    sortable_by = ()
    about: Any = (None, {"fields": [("model", "feature"), ("valid_from", "is_on_sale")]})

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelPrice]:
        return super().get_queryset(request).annotate(is_over=followed(timezone.now()))

    def get_fieldsets(self, request: HttpRequest, obj: ModelPrice | None = None) -> Any:
        rates = [f"{name}_shown" if obj else name for name in RATES]
        said = "Tokens for 1,000 units, to a thousandth of a token. A call is the sum of its units, rounded up once."
        return [
            self.about,
            ("What units cost", {"fields": [tuple(rates[:2]), tuple(rates[2:4]), rates[4]], "description": said}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: ModelPrice | None = None) -> list[str]:
        return [f"{name}_shown" for name in RATES] if obj else []

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ModelPrice | None = None) -> bool:
        in_force = obj is not None and obj.is_in_force(timezone.now())
        return bool(super().has_delete_permission(request, obj)) and not in_force

    def get_actions(self, request: HttpRequest) -> Any:
        # Of many rows some would be in force.
        return {name: found for name, found in super().get_actions(request).items() if name != "delete_selected"}

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        row, given = kwargs.get("obj"), request.POST if request.method == "POST" else request.GET
        units = UnitsForm(given if any(name.startswith("units-") for name in given) else None)
        cost = units.cost(row.rates if row else context["adminform"].form.rates())
        return super().render_change_form(
            request, {**context, "calculator": units, "calculated": cost}, *args, **kwargs
        )

    def save_model(self, request: HttpRequest, obj: ModelPrice, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if obj.is_on_sale:
            messages.info(request, f"{obj.model}: {UnitsForm().cost(obj.rates)}")

    def state(self, row: ModelPrice) -> str:
        if not row.is_in_force(timezone.now()):
            return "ahead"
        if getattr(row, "is_over", False):
            return "followed"
        return "in force" if row.is_on_sale else "off sale"

    state.short_description = "state"  # type: ignore[attr-defined]
    state.label = {"ahead": "info", "in force": "success", "off sale": "warning"}  # type: ignore[attr-defined]

    @admin.display(description="input", ordering="input")
    def input_shown(self, row: ModelPrice) -> str:
        return in_tokens(row.input)

    @admin.display(description="cache read", ordering="cache_read")
    def cache_read_shown(self, row: ModelPrice) -> str:
        return in_tokens(row.cache_read)

    @admin.display(description="cache write", ordering="cache_write")
    def cache_write_shown(self, row: ModelPrice) -> str:
        return in_tokens(row.cache_write)

    @admin.display(description="output", ordering="output")
    def output_shown(self, row: ModelPrice) -> str:
        return in_tokens(row.output)

    @admin.display(description="fixed", ordering="fixed")
    def fixed_shown(self, row: ModelPrice) -> str:
        return in_tokens(row.fixed)
