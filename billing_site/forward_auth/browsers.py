"""What a browser sends by itself, also for another site's page, is not looked at for a described request.

The proxy asks by GET whatever its client has sent, so the check of CSRF cannot tell a form of another site's.
"""

from __future__ import annotations

from importlib import import_module

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from billing_site.request.identified_by_host import SENT_BY_BROWSERS


def forget_cookies(request: HttpRequest) -> None:
    """Take all cookies out of the request, and the session and the user that were found by them."""
    request.COOKIES = {}
    request.META.pop("HTTP_COOKIE", None)
    vars(request).pop("headers", None)  # made of META when first asked for
    request.session = import_module(settings.SESSION_ENGINE).SessionStore()
    request.user = AnonymousUser()
    request.auser = _nobody


def sends_by_itself(request: HttpRequest) -> bool:
    """Whether the Authorization header is of a scheme that browsers add."""
    return request.META.get("HTTP_AUTHORIZATION", "").partition(" ")[0].lower() in SENT_BY_BROWSERS


async def _nobody() -> AnonymousUser:
    return AnonymousUser()
