"""Logging in with a password: guesses are counted by address and by name, before anything costly is computed.

A password's hash is slow on purpose (a tenth of a second and more). So a process computes few at once, and whoever
comes meanwhile is asked to come again: else log-ins alone could hold every thread of the web server.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from allauth.account.auth_backends import AuthenticationBackend
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.forms import BaseForm
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from billing.users import User
from billing_site.request.client_address import client_address
from ratelimit import process_state

FAILURES_BY_ADDRESS: Final = 20
FAILURES_BY_NAME: Final = 10
WINDOW_SECONDS: Final = 60
HASHES_AT_ONCE: Final = 2
_hashing: threading.BoundedSemaphore = process_state.remember(
    __name__, "_hashing", lambda: threading.BoundedSemaphore(HASHES_AT_ONCE)
)


class LogInRefused(ValidationError):
    """The password was not looked at. Log-in forms show the sentence, and `says_when_to_come_again` the status."""

    def __init__(self, sentence: str, status: int, retry_after: int) -> None:
        super().__init__(sentence)
        self.status = status
        self.retry_after = retry_after


class ThrottledBackend(AuthenticationBackend):
    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> User | None:
        """The user of a name or an e-mail address and a password, or None where one is wrong. Raises LogInRefused."""
        name = credentials.get("username") or credentials.get("email") or ""
        counters = [(f"log-in:name:{_digest(name)}", FAILURES_BY_NAME)]
        if request is not None:
            counters.append((f"log-in:address:{_digest(client_address(request))}", FAILURES_BY_ADDRESS))
        for key, most in counters:
            _count(key, most)
        if not _hashing.acquire(blocking=False):
            raise LogInRefused("Many people are logging in at this moment. Please try again.", 503, 1)
        try:
            user: User | None = super().authenticate(request, **credentials)
        finally:
            _hashing.release()
        if user is not None:
            for key, _ in counters:
                cache.delete(key)
        return user

    def get_user(self, user_id: Any) -> User | None:
        """With the preferences, which every page for a customer asks for."""
        user = User.objects.select_related("preferences").filter(pk=user_id).first()
        return user if user is not None and self.user_can_authenticate(user) else None


def _count(key: str, most: int) -> None:
    """Count a try before it is made, so that many at once are not all let through. Raises LogInRefused."""
    cache.add(key, 0, WINDOW_SECONDS)
    try:
        tries = cache.incr(key)
    except ValueError:  # it ended in between
        return
    if tries is not None and tries > most:  # None: the cache is out of reach, and only the hashes are bounded
        seconds = max(cache.ttl(key) or 0, 1)  # type: ignore[attr-defined]  # django-redis has it
        raise LogInRefused(f"Too many failed log-ins. Please try again in {seconds} seconds.", 429, seconds)


def _digest(text: str) -> str:
    return hashlib.blake2s(text.casefold().encode(errors="replace"), digest_size=16).hexdigest()


def takes_username(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A log-in view that takes `username` for its `login`, too: as the admin's form had it, and scripts still post."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if "username" in request.POST and not request.POST.get("login"):
            posted = request.POST.copy()
            posted["login"] = request.POST.get("username", "")
            request.POST = posted  # type: ignore[assignment]
        return view(request, *args, **kwargs)

    return answer


def says_when_to_come_again(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A log-in view that shows its form again after a refusal, with 429 or 503 and Retry-After."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        form = (getattr(response, "context_data", None) or {}).get("form")
        if isinstance(form, BaseForm) and form.is_bound:
            for error in form.non_field_errors().as_data():
                if isinstance(error, LogInRefused):
                    response.status_code = error.status
                    response["Retry-After"] = str(error.retry_after)
        return response

    return answer
