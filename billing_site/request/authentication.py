"""Who is calling: an API key, whom the host product knows, or the browser's session with its CSRF token."""

from __future__ import annotations

import math
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from billing.entitlements import callers
from billing.entitlements.callers import BadCredentials, Caller
from billing.models.entitlements.api_keys import bears_checksum
from billing_site.request import identified_by_host
from billing_site.request.client_address import client_address
from billing_site.request.csrf import CsrfFailed, check_csrf
from usage.api.contract import find_caller

__all__ = ["CsrfFailed", "Flooded", "GatewayAuthentication", "identify"]

FLOOD_SECONDS = 60


class Flooded(Exception):
    """The address sent UNKNOWN_KEYS_PER_MINUTE unknown keys; PostgreSQL is not asked for more from it for a while."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds


def identify(request: HttpRequest) -> Caller | None:
    """The caller; None without any credentials. Raises BadCredentials, CsrfFailed, Flooded.

    A key that is given must be good: a bad one never falls through to METERED_IDENTIFY or the session. Asks no engine
    for a key that this process knows.
    """
    header = request.META.get("HTTP_AUTHORIZATION")
    if header is None:
        return identified_by_host.find(request) or _by_session(request)
    scheme, _, key = header.partition(" ")
    key, is_bearer = key.strip(), scheme.lower() == "bearer"
    identity = callers.known(key) if is_bearer else None
    if identity is None:
        if not (is_bearer and bears_checksum(key)) and (caller := identified_by_host.find(request, scheme or "none")):
            return caller
        if not key and (is_bearer or not scheme):
            raise BadCredentials("missing")
        if not is_bearer:
            raise BadCredentials("scheme")
        identity = _look_up(request, key)
    # A key proves intent by itself; a cross-site page cannot send it.
    request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
    return Caller(identity.account, key, identity)


def _look_up(request: HttpRequest, key: str) -> callers.Identity:
    if callers.known_to_be_unknown(key):
        raise BadCredentials("unknown")
    if bears_checksum(key):  # what somebody made up does not, and costs those who come from its address nothing
        return callers.look_up(key)
    failures = f"unknown-keys:{client_address(request)}"
    if (cache.get(failures) or 0) >= settings.UNKNOWN_KEYS_PER_MINUTE:
        raise Flooded(_seconds_left(failures))
    try:
        return callers.look_up(key)
    except BadCredentials as error:
        if error.reason == "unknown" and not cache.add(failures, 1, FLOOD_SECONDS):
            _count_failure(failures)
        raise


def _count_failure(failures: str) -> None:
    try:
        cache.incr(failures)
    except ValueError:
        cache.add(failures, 1, FLOOD_SECONDS)


def _seconds_left(failures: str) -> int:
    """Until the address' failures are forgotten: whole seconds, at least one."""
    milliseconds = cache.pttl(failures)  # type: ignore[attr-defined]  # django-redis has it beyond Django's methods
    return max(1, math.ceil((milliseconds or 0) / 1000))


def _by_session(request: HttpRequest) -> Caller | None:
    if settings.SESSION_COOKIE_NAME not in request.COOKIES or not request.user.is_authenticated:
        return None
    check_csrf(request)
    return Caller(int(request.user.pk))


class GatewayAuthentication(BaseAuthentication):
    """Gives REST framework's views the identified caller as `auth`, and the user as all views have it."""

    def authenticate(self, request: Request) -> tuple[Any, Caller] | None:
        caller = find_caller(request._request)
        return None if caller is None else (request._request.user, caller)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
