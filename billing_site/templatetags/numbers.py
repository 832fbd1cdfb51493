"""`{{ tokens|grouped }}`: a whole number as the reader's language groups its digits."""

from __future__ import annotations

from django import template
from django.utils import formats

register = template.Library()


@register.filter
def grouped(number: int | None) -> str:
    """`12,345`; in German `12.345`. "" for None."""
    return "" if number is None else formats.number_format(number, force_grouping=True)
