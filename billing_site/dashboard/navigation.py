"""The dashboard's pages, in the order in which they are shown."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise, SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from billing_site.dashboard.access import Acting, memberships

PAGES: Final[list[tuple[str, Promise]]] = [
    ("dashboard", _("Overview")),
    ("dashboard-keys", _("Keys")),
    ("dashboard-webhooks", _("Webhooks")),
    ("dashboard-usage", _("Usage log")),
    ("dashboard-agents", _("Agents")),
    ("dashboard-plans", _("Plans")),
    ("dashboard-billing", _("Billing")),
    ("dashboard-payment-methods", _("Payment methods")),
    ("dashboard-members", _("Members")),
    ("dashboard-activity", _("Activity")),
    ("dashboard-notices", _("Notices")),
    ("dashboard-settings", _("Settings")),
]
"""Name of its URL, and title."""
WITH_CARDS: Final = "dashboard-payment-methods"
"""Shown where cards are set up."""


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Context processor: `navigation`, each with title, address and whether it is the present page, and `accounts`,
    number and name of each that the person acts for; empty where that is the own one alone."""
    match = request.resolver_match
    here = match.url_name if match else None
    shown = [page for page in PAGES if page[0] != WITH_CARDS or settings.STRIPE_SECRET_KEY]
    pages = [(title, reverse(name), name == here) for name, title in shown]
    return {"navigation": pages, "accounts": SimpleLazyObject(lambda: _accounts(request))}


def _accounts(request: HttpRequest) -> list[tuple[int, str]]:
    user = request.user
    if user.pk is None:
        return []
    acting: Acting | None = getattr(request, "acting", None)
    others = memberships(user.pk) if acting is None else acting.memberships
    accounts = [(member.account_id, str(member.account)) for member in others]
    return [(user.pk, str(user)), *accounts] if accounts else []
