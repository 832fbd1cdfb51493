"""Start-up check of MIDDLEWARE: the gateway stands once, and before what has to stand within it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from billing_site.operations.checks.start import ENFORCEMENT

GATEWAY: Final = "billing_site.gateway.Gateway"
CALLERS_USER: Final = "billing_site.request.request_user.CallersUser"
WITHIN_THE_GATEWAY: Final = frozenset(
    {
        "django.middleware.security.SecurityMiddleware",
        "whitenoise.middleware.WhiteNoiseMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        CALLERS_USER,
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
        "simple_history.middleware.HistoryRequestMiddleware",
    }
)


@register(ENFORCEMENT)
def check_gateway(**_: Any) -> Iterable[CheckMessage]:
    middleware = list(settings.MIDDLEWARE)
    if middleware.count(GATEWAY) != 1:
        yield Error(
            f"{GATEWAY} stands {middleware.count(GATEWAY)} times in MIDDLEWARE: calls would be served uncharged, or"
            " charged twice.",
            hint="Name it once, after billing_site.request.request_id.RequestId and before all of Django's.",
            id="billing_site.E001",
        )
        return
    outside = WITHIN_THE_GATEWAY.intersection(middleware[: middleware.index(GATEWAY)])
    if outside:
        yield Error(
            f"{', '.join(sorted(outside))} stand before the gateway in MIDDLEWARE: it would not see the final status of"
            " a call, or CSRF would be asked of API keys.",
            hint="Move the gateway before them, directly after billing_site.request.request_id.RequestId.",
            id="billing_site.E002",
        )
    if CALLERS_USER not in middleware:
        yield Error(
            f"{CALLERS_USER} is missing in MIDDLEWARE: `request.user` would be nobody for callers with an API key.",
            hint="Name it in the place of django.contrib.auth.middleware.AuthenticationMiddleware.",
            id="billing_site.E016",
        )
