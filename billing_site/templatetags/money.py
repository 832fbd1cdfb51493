"""`{{ amount|money:currency }}`, `{{ tokens|grouped }}`: amounts and numbers as the reader's language writes them."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from django import template
from django.utils import formats, translation

from billing.rules.money import minor_units

register = template.Library()
SIGNS: Final = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
NO_BREAK: Final = "\N{NO-BREAK SPACE}"
SIGN_FOLLOWS: Final = ("de",)


@register.filter
def money(amount: Decimal | int | None, currency: str) -> str:
    """`$29.00`, `-€5.95`, `CHF 12.00`; in German `29,00 €`. "" for None.

    Never rounded: a price of 1,000 tokens may have more decimals than the currency.
    """
    if amount is None:
        return ""
    exact = Decimal(amount).normalize()
    exponent = exact.as_tuple().exponent
    assert isinstance(exponent, int)
    text = formats.number_format(abs(exact), max(minor_units(currency), -exponent), force_grouping=True)
    minus, sign = "-" if exact < 0 else "", SIGNS.get(currency)
    if (translation.get_language() or "").startswith(SIGN_FOLLOWS):
        return f"{minus}{text}{NO_BREAK}{sign or currency}"
    return f"{minus}{sign}{text}" if sign else f"{minus}{currency}{NO_BREAK}{text}"


@register.filter
def grouped(number: int) -> str:
    """`1,500,000`; in German `1.500.000`."""
    return formats.number_format(number, force_grouping=True)
