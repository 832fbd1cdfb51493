"""The admin as a site: what no view of it has to look after by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from django.contrib.admin.apps import AdminConfig
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.paginator import Paginator
from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from billing.outbox.actor import SYSTEM, acting_as, user

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite
else:
    from unfold.sites import UnfoldAdminSite as AdminSite


class Site(AdminSite):
    index_title = "Home"

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Any:
        """Answer 400 where an address or a form holds what PostgreSQL takes for no value, such as a NUL.

        Fields of forms refuse those. Ids, filters, searches and choices are looked up as they come, at too many places
        of Django to look at each.
        """

        @wraps(view)
        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            try:
                with acting_as(user(request.user.pk) if request.user.pk else SYSTEM):
                    response = view(request, *args, **kwargs)
                # Here and not later, since lists are read while the page is drawn.
                return response.render() if hasattr(response, "render") else response
            except DataError as error:
                raise BadRequest("A value cannot be looked up.") from error

        guarded = super().admin_view(answer, cacheable)

        @wraps(guarded)
        def refuse_or_ask(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            """Who is logged in and no staff is told so: Django's way to the log-in leads back here, round and round."""
            if request.user.is_authenticated and not self.has_permission(request):
                raise PermissionDenied
            return guarded(request, *args, **kwargs)

        return refuse_or_ask

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Ctrl-K: the admin's pages by their title, and what `billing.admin.command_search` finds.

        Unfold's own writes the term in small letters, which keys are not, and keeps what it found for five minutes,
        whatever is changed or forbidden meanwhile.
        """
        from billing.admin import command_search

        began, term = time.monotonic(), request.GET.get("s", "").strip()
        if not term:
            return HttpResponse()
        pages_titled: list[Any] = self._search_apps(self.get_app_list(request), term.lower())  # type: ignore[attr-defined]
        found = [*pages_titled, *command_search.find(request, term)]
        pages = Paginator(found, max(len(found), 1))
        context = {
            "page_obj": pages,
            "results": pages.page(1),
            "page_counter": 0,
            "execution_time": time.monotonic() - began,
        }
        template = f"unfold/helpers/{'command' if 'extended' in request.GET else 'search'}_results.html"
        headers = {"HX-Trigger": "search", "Cache-Control": "no-store"}
        return TemplateResponse(request, template, context, headers=headers)


class Config(AdminConfig):
    """Django's app of the admin, with this site."""

    default_site = "billing_site.admin.site.Site"

    def ready(self) -> None:
        """Django looks into each app's `admin` while it loads; ours is loaded before, with this class."""
        super().ready()
        from billing_site.admin import sign_in  # noqa: F401  # it takes over two pages that are registered by now
