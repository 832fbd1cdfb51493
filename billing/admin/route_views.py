"""Which views answer where a route points: what staff are told beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

from billing.http.access import NOTHING_HERE, access_of
from billing.models import Route
from billing.models.catalogue import normalised_path
from billing.rules.routes import PARAMETER, shape

SAMPLES = ("1", "x", "00000000-0000-4000-8000-000000000000")
"""What may stand for a parameter: a number, a name, an identifier."""
MOST_SHOWN = 3


def views_answering(path: str) -> list[str]:
    """The names of the views at the path or below it, as far as the URL patterns tell."""
    found: dict[str, None] = {}
    for sample in SAMPLES:
        for ending in ("", "/"):
            try:
                match = get_resolver().resolve(PARAMETER.sub(sample, path) + ending)
            except Resolver404:
                continue
            _add(found, match.func)
    wanted = shape(path).split("/")[1:]
    for pattern, view in _patterns(get_resolver().url_patterns, ""):
        segments = normalised_path(re.sub(r"<[^>]*>", "{}", pattern)).split("/")[1:]
        if len(segments) >= len(wanted) and all(
            one == other or other == "{}" for one, other in zip(wanted, segments, strict=False)
        ):
            _add(found, view)
    return list(found)


def tell_what_answers(request: HttpRequest, route: Route) -> None:
    """A message about a route that was saved: the view that answers there, or a warning that none does."""
    if views := views_answering(route.path):
        messages.info(request, f"{route} is answered by {', '.join(views[:MOST_SHOWN])}.")
    else:
        messages.warning(request, f"{route}: no view was found there. Nothing is metered at it until one answers.")


def _add(found: dict[str, None], view: Any) -> None:
    if access_of(view) is not NOTHING_HERE:
        named = getattr(view, "cls", None) or getattr(view, "view_class", view)
        found[f"{named.__module__}.{getattr(named, '__qualname__', type(named).__qualname__)}"] = None


def _patterns(entries: list[Any], before: str) -> Iterator[tuple[str, Any]]:
    """The whole route of each view whose patterns are written with path(); regular expressions are left out."""
    for entry in entries:
        if not isinstance(entry.pattern, RoutePattern):
            continue
        route = f"{before}{entry.pattern}"
        if isinstance(entry, URLResolver):
            yield from _patterns(entry.url_patterns, route)
        elif isinstance(entry, URLPattern):
            yield f"/{route}", entry.callback
