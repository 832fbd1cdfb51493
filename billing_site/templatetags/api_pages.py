"""What the API's pages show beside the answer: where the caller stands, and what the page view has cost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django import template
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from billing.rules.tokens.overage import Overage
from ratelimit.limits import Standing
from usage.api.contract import find_admission
from usage.metering.quota import of_included, overage_of, percentage_used

register = template.Library()
NAVIGATION: Final = (
    ("Start here", "start"),
    ("Index", "index"),
    ("Usage", "usage-current"),
    ("Breakdown", "usage-breakdown"),
    ("History", "usage-history"),
    ("Log", "usage-logs"),
    ("Track", "usage-track"),
    ("Check", "usage-check"),
    ("Subscription", "billing-subscription"),
    ("Invoices", "billing-invoices"),
    ("Plans", "plans"),
    ("Features", "features"),
    ("Documentation", "docs"),
    ("Errors", "errors"),
)
"""Title and name of the URL."""


@dataclass(frozen=True, slots=True)
class CallersStanding:
    """Of who asked for a page, with that page view counted: as the response's headers say it."""

    plan: str
    quota: Standing
    percentage: float
    overage: Overage | None
    minute: Standing | None
    resets_at: datetime
    feature: str
    """What the path is metered as; "" where it costs nothing."""
    cost: int
    """Tokens that the page view has cost."""


@register.simple_tag
def api_navigation(request: HttpRequest) -> list[tuple[str, str, bool]]:
    """Of the API's pages: title, address, and whether it is the present one."""
    here = request.path.rstrip("/")
    addresses = ((title, reverse(name)) for title, name in NAVIGATION)
    return [(title, address, address.rstrip("/") == here) for title, address in addresses]


@register.simple_tag
def callers_standing(request: Any, status: int) -> CallersStanding | None:
    """None where the gateway has identified nobody. A failed page view is given back after it was shown."""
    admission = find_admission(request)
    if admission is None:
        return None
    entitlement, quota = admission.snapshot.entitlement, admission.quota
    cost = admission.cost
    if status >= 400:
        quota, cost = quota._replace(used=quota.used - cost), 0
    included = of_included(entitlement, quota)
    return CallersStanding(
        plan=entitlement.plan.name,
        quota=included,
        percentage=percentage_used(included),
        overage=overage_of(entitlement, quota),
        minute=admission.minute,
        resets_at=entitlement.window.end,
        feature=admission.request.feature.code if admission.request.feature else "",
        cost=cost,
    )


@register.filter
def backquotes(text: str) -> SafeString:
    """Text whose `code` stands in backquotes."""
    return mark_safe(re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text)))
