"""templatetags/money.py: amounts as people write them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import translation

from billing_site.templatetags.money import money


@pytest.mark.parametrize(
    ("language", "amount", "currency", "text"),
    [
        ("en", "29", "USD", "$29.00"),
        ("en", "-5.9450", "EUR", "-€5.945"),
        ("en", "1234567.5", "GBP", "£1,234,567.50"),
        ("en", "1200", "JPY", "¥1,200"),
        ("en", "1.5", "KWD", "KWD\u00a01.500"),
        ("de", "1234.5", "EUR", "1.234,50\u00a0€"),
        ("de", "-0.5", "CHF", "-0,50\u00a0CHF"),
        ("de", "0", "USD", "0,00\u00a0$"),
    ],
)
def test_money(language: str, amount: str, currency: str, text: str) -> None:
    with translation.override(language):
        assert money(Decimal(amount), currency) == text


def test_no_amount_is_no_text() -> None:
    assert money(None, "USD") == ""
