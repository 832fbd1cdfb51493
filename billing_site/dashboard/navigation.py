"""The dashboard's pages, in the order in which they are shown."""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

PAGES: Final[list[tuple[str, Promise]]] = [
    ("dashboard", _("Overview")),
    ("dashboard-plans", _("Plans")),
    ("dashboard-billing", _("Billing")),
    ("dashboard-settings", _("Settings")),
]
"""Name of its URL, and title."""


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Context processor: `navigation`, each with title, address and whether it is the present page."""
    match = request.resolver_match
    here = match.url_name if match else None
    return {"navigation": [(title, reverse(name), name == here) for name, title in PAGES]}
