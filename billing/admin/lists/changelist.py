"""A list that takes no longer, however many rows there are: it counts up to a bound, and sums up to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from django.core.exceptions import EmptyResultSet
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from billing.rules.money import in_currency

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList

    Pages = Paginator[Any]
else:
    Pages = Paginator
    from unfold.views import ChangeList

MOST_COUNTED = 10_000
"""Rows that pages lead to; PostgreSQL reads a page by reading all pages before it. Filters lead to the others."""
MOST_SUMMED = 10_000


class CountedUpTo(Pages):
    """Counts no further than MOST_COUNTED."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return min(self._count_one_more(rows), MOST_COUNTED)

    @cached_property
    def is_cut(self) -> bool:
        """Whether there are more."""
        rows: Any = self.object_list
        return self._count_one_more(rows) > MOST_COUNTED

    def _count_one_more(self, rows: QuerySet[Any]) -> int:
        known: int | None = self.__dict__.get("_counted")
        if known is None:
            known = self.__dict__["_counted"] = rows.order_by().values("pk")[: MOST_COUNTED + 1].count()
        return known


class Total(NamedTuple):
    """Sum of one column, in one currency; tokens have none."""

    name: str
    amount: str


class Rows(ChangeList):
    """`totals` are those of what is filtered, of the columns that the page's `summed` names."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.full_result_count = self.result_count  # so that no heading tells it as the number of all
        is_filtered = bool(self.query) or self.has_active_filters
        summed: Sequence[str] = getattr(self.model_admin, "summed", ())
        currency: str = getattr(self.model_admin, "currency_path", "")
        self.totals = totals(self.queryset, summed, currency) if summed and is_filtered else []

    @property
    def is_too_long_to_sum(self) -> bool:
        return self.totals is None


def totals(rows: QuerySet[Any], columns: Sequence[str], currency: str) -> list[Total] | None:
    """None where there are more than MOST_SUMMED rows. `currency` is the path of each row's, "" for tokens."""
    named = {f"sum_{number}": name for number, name in enumerate(columns)}
    wanted = rows.order_by().values_list(*([currency] if currency else []), *columns)[: MOST_SUMMED + 1]
    try:
        inner, values = wanted.query.sql_with_params()
    except EmptyResultSet:
        return []
    titles = ", ".join([*(["currency"] if currency else []), *named])
    sums = ", ".join(f"sum({name})" for name in named)
    group = "GROUP BY currency ORDER BY currency" if currency else ""
    head = "currency" if currency else "''"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {head}, count(*), {sums} FROM ({inner}) AS filtered ({titles}) {group}", values)
        found = cursor.fetchall()
    if sum(row[1] for row in found) > MOST_SUMMED:
        return None
    return [
        Total(name.rsplit("__", 1)[-1], f"{in_currency(amount, row[0])} {row[0]}" if currency else f"{amount:,}")
        for row in found
        for name, amount in zip(columns, row[2:], strict=True)
        if amount is not None
    ]
