"""The caller as Django knows a user, and what sends a caller to log in."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME, get_user_model
from django.contrib.auth.middleware import AuthenticationMiddleware, get_user
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.functional import SimpleLazyObject

from usage.api.contract import find_caller


class CallersUser(AuthenticationMiddleware):
    """`request.user` is the session's, or that of the account whose key the gateway has identified.

    It is read when a view first asks for it, which is after the gateway: a metered call needs no query for it.
    """

    def process_request(self, request: HttpRequest) -> None:
        super().process_request(request)
        request.user = SimpleLazyObject(lambda: _user_of(request))  # type: ignore[assignment]
        request.auser = sync_to_async(lambda: _user_of(request))


def _user_of(request: HttpRequest) -> Any:
    caller = find_caller(request)
    if caller is None or caller.identity is None:
        return get_user(request)
    return get_user_model().objects.filter(pk=caller.account, is_active=True).first() or AnonymousUser()


def has_failed(request: HttpRequest, response: HttpResponseBase | None) -> bool:
    """Whether the answer is none that a caller pays for: none at all, an error, or a redirect to a log-in page.

    That is LOGIN_URL, or a page that is told to send the caller back to what was asked for here. Where an error
    is told in the body alone, the view has marked its response (`mark_failed`).
    """
    if response is None or response.status_code >= 400 or hasattr(response, "is_failure"):
        return True
    if response.status_code < 300:
        return False
    location = urlsplit(response.get("Location", ""))
    backs = parse_qs(location.query).get(REDIRECT_FIELD_NAME, [])
    log_in_page = urlsplit(resolve_url(settings.LOGIN_URL)).path
    return location.path == log_in_page or any(urlsplit(back).path == request.path for back in backs)
