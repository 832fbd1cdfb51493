"""What the admin of any model brings to its list."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import BaseModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest

from billing.admin.lists.changelist import CountedUpTo, Rows
from billing.admin.lists.export import as_csv
from billing.admin.lists.searching import found

CSV = "_csv"


class Listing(BaseModelAdmin):  # type: ignore[type-arg]
    """`by_account` is the path to a row's account: then a search takes whole values of `search_fields` or an account.

    `summed` are columns whose sums stand below a filtered list, in the currency at `currency_path`; `exported` are
    paths that a CSV has beside the list's columns.
    """

    by_account = ""
    summed: tuple[str, ...] = ()
    currency_path = "currency"
    exported: tuple[str, ...] = ()
    paginator = CountedUpTo
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_after_template = "admin/billing/lists/foot.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Rows]:
        return Rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not self.by_account:
            plain: tuple[QuerySet[Any], bool] = super().get_search_results(request, queryset, search_term)  # type: ignore[misc]
            return plain
        exact = [path for path in self.search_fields if not path.startswith(f"{self.by_account}__")]  # type: ignore[attr-defined]
        return found(queryset, search_term, self.by_account, exact), False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        if request.method == "GET" and CSV in request.GET and self.has_view_or_change_permission(request):
            asked = request.GET.copy()
            del asked[CSV]
            request.GET = asked  # type: ignore[assignment]
            return as_csv(request, self.get_changelist_instance(request))  # type: ignore[attr-defined]
        return super().changelist_view(request, extra_context)  # type: ignore[misc]
