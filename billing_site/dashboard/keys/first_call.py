"""A call that a customer can make at once with a new key: charged where there is something simple to call."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

from django.http import HttpRequest
from django.urls import Resolver404, resolve, reverse

from billing.http.access import NOTHING_HERE, access_of
from billing.models import Route


def first_call(request: HttpRequest, key: str) -> str:
    """A curl line, ready to paste, that calls this site."""
    return f'curl -i -H "Authorization: Bearer {key}" {request.build_absolute_uri(path_to_call())}'


def path_to_call() -> str:
    """The cheapest metered path that every plan has and a GET reaches; else where an account stands."""
    routes = Route.objects.filter(feature__capability=None, method__in=[Route.Method.ANY, Route.Method.GET])
    plain = routes.exclude(path__contains="{").order_by("feature__tokens", "path")
    paths = plain.values_list("path", flat=True)
    return next((path for path in paths if _answers_get(path)), reverse("usage-current").rstrip("/"))


def _answers_get(path: str) -> bool:
    try:
        view: Any = resolve(urljoin("/", path)).func
    except Resolver404:
        return False
    view_class = getattr(view, "cls", None) or getattr(view, "view_class", None)
    return access_of(view) is not NOTHING_HERE and (view_class is None or hasattr(view_class, "get"))
