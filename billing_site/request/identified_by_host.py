"""Callers whom the host product knows by credentials of its own, such as a JWT: the setting METERED_IDENTIFY."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string

from billing.entitlements.callers import BadCredentials, Caller, without_key
from billing_site.request.csrf import check_csrf

logger = logging.getLogger(__name__)
REFUSED: Final = "refused"
SENT_BY_BROWSERS: Final = ("basic", "digest", "negotiate", "ntlm")
"""Schemes of Authorization that a browser adds by itself, also to what another site's page sends."""


def find(request: HttpRequest, scheme: str = "") -> Caller | None:
    """Whom METERED_IDENTIFY finds in the request; None where it finds nobody, or is not set.

    `scheme` is that of the Authorization header, if there is one. What a browser may have sent by itself needs the CSRF
    token. Raises BadCredentials, CsrfFailed.
    """
    if not settings.METERED_IDENTIFY:
        return None
    account = _account_of(_asked(request))
    if account is None:
        return None
    if (not scheme and request.COOKIES) or scheme.lower() in SENT_BY_BROWSERS:
        check_csrf(request)
    else:
        request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
    # Whoever asked for the user while looking may have found nobody.
    request.user = SimpleLazyObject(lambda: _user(account))  # type: ignore[assignment]
    return without_key(account)


@lru_cache(8)
def callable_at(path: str) -> Callable[[HttpRequest], Any]:
    """Raises ImportError, TypeError."""
    found = import_string(path)
    if not callable(found):
        raise TypeError(f"{path} cannot be called")
    return found  # type: ignore[no-any-return]


def _asked(request: HttpRequest) -> Any:
    try:
        return callable_at(settings.METERED_IDENTIFY)(request)
    except (OperationalError, InterfaceError):
        raise  # nobody knows: 503
    except Exception as error:
        logger.info("METERED_IDENTIFY refuses %s %s: %s", request.method, request.path, _named(error))
        raise BadCredentials(REFUSED) from error


def _named(error: Exception) -> str:
    """Its kind and place: its text may hold what was sent."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "nowhere"
    return f"{type(error).__name__} at {place}"


def _account_of(found: Any) -> int | None:
    """Raises BadCredentials for what is no account."""
    if found is None:
        return None
    account = getattr(found, "pk", None) if hasattr(found, "is_authenticated") else found
    if account is None:  # AnonymousUser
        return None
    if type(account) is not int or not 0 < account < 2**63:
        logger.error("METERED_IDENTIFY gave %s, and not a user or the id of one", type(found).__name__)
        raise BadCredentials(REFUSED)
    return account


def _user(account: int) -> Any:
    return get_user_model().objects.filter(pk=account, is_active=True).first() or AnonymousUser()
