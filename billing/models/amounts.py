"""Money as staff type it: its currency is a known one, and can express it."""

from __future__ import annotations

from decimal import Decimal

from django.core.exceptions import ValidationError

from billing.rules.money import UnknownCurrency, is_exact, minor_units


def check_currency(currency: str) -> None:
    """Raises ValidationError, of the field `currency`, where it is none of ISO 4217."""
    try:
        minor_units(currency)
    except UnknownCurrency as error:
        raise ValidationError({"currency": str(error)}) from error


def too_exact(amount: Decimal, currency: str) -> str:
    """What to say of an amount with more decimals than its currency has; "" of any other. Raises UnknownCurrency."""
    if is_exact(amount, currency):
        return ""
    return f"{currency} has {minor_units(currency)} decimals; {amount} has more."
