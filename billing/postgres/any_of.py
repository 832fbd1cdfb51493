"""A condition for many numbers at the price of one parameter: `column = ANY(array)`."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.postgres.fields import ArrayField
from django.db.models import BigIntegerField, BooleanField, F, Func, Value

NUMBERS = ArrayField(BigIntegerField())


class _IsAnyOf(Func):
    template = "(%(expressions)s))"
    arg_joiner = " = ANY ("
    output_field = BooleanField()


def any_of(column: str, numbers: Iterable[int]) -> Func:
    """For `filter`: rows whose integer column or foreign key is one of the numbers.

    As `__in`, whose parameter a number cost half of what a batch of 500 took to be read.
    """
    return _IsAnyOf(F(column), Value(list(numbers), output_field=NUMBERS))
