"""The admin as a site: what no view of it has to look after by itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from django.contrib.admin.apps import AdminConfig
from django.core.exceptions import BadRequest
from django.db import DataError
from django.http import HttpRequest

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

        return super().admin_view(answer, cacheable)


class Config(AdminConfig):
    """Django's app of the admin, with this site."""

    default_site = "billing_site.admin_site.Site"
