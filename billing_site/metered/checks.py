"""System checks: what decorated views name is in the catalogue, and what METERED_IDENTIFY names can be called."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.db import Error as DatabaseError
from django.urls import URLPattern, URLResolver, get_resolver

from billing.http.access import access_of
from billing.models import Capability, Feature
from billing_site.metered.decorators import MeteredAs
from billing_site.operations.checks.start import ENFORCEMENT
from billing_site.request.identified_by_host import callable_at
from ratelimit.checks import ENGINES

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@register(ENFORCEMENT)
def check_identify(**_: Any) -> Iterable[CheckMessage]:
    try:
        if settings.METERED_IDENTIFY:
            callable_at(settings.METERED_IDENTIFY)
    except (ImportError, TypeError) as error:
        hint = "Let it be the path of a function that takes a request, or unset it."
        yield Error(f"METERED_IDENTIFY finds nobody: {error}.", hint=hint, id="billing_site.E022")


HINT = "Add it in the admin, or mend the name in the decorator; until then its calls are answered by {status}."


@register(ENGINES, deploy=True)
def check_metered_views(**_: Any) -> Iterable[CheckMessage]:
    asked = dict.fromkeys(_asked(get_resolver().url_patterns))
    if not asked:
        return
    try:
        features = set(Feature.objects.values_list("code", flat=True))
        capabilities = set(Capability.objects.values_list("code", flat=True))
    except DatabaseError:
        return  # what else asks PostgreSQL says so
    for view, feature, capability in asked:
        if feature and feature not in features:
            text = f"{view} is metered as {feature!r}, which is no feature of the catalogue."
            yield Error(text, hint=HINT.format(status=503), id="billing_site.E020")
        if capability and capability not in capabilities:
            text = f"{view} requires {capability!r}, which is no capability of the catalogue."
            yield Error(text, hint=HINT.format(status=403), id="billing_site.E021")


def _asked(patterns: Iterable[Any]) -> Iterator[tuple[str, str, str]]:
    """Of each view that a URL leads to its name, with a feature or a capability that it asks for."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _asked(pattern.url_patterns)
        elif isinstance(pattern, URLPattern):
            view = pattern.callback
            named = getattr(view, "cls", None) or getattr(view, "view_class", view)
            name = f"{named.__module__}.{getattr(named, '__qualname__', type(named).__qualname__)}"
            for access in {access_of(view, method) for method in METHODS}:
                if isinstance(access, MeteredAs):
                    yield name, access.feature, ""
                for capability in access.capabilities:
                    yield name, "", capability
