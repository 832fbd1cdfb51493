"""`{{ tokens|grouped }}`: a whole number as the reader's language groups its digits."""

from __future__ import annotations

from django import template
from django.utils import formats

register = template.Library()


@register.filter
def grouped(number: int | None) -> str:
    """`12,345`; in German `12.345`. "" for None."""
    if number is None:
        return ""
    # Most numbers of a page are small, and a table has hundreds of them.
    return str(number) if -1000 < number < 1000 else formats.number_format(number, force_grouping=True)
