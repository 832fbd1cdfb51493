"""Who looks at which account: every view of the dashboard is wrapped here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone, translation

from billing.models import Preferences


class Right(StrEnum):
    """What a page asks of who looks at it; a role of a member is a set of these."""

    SEE = "see"
    DEVELOP = "develop"
    """Keys."""
    BILL = "bill"
    """Plans, packs, coupons, billing details, payments."""
    OWN = "own"
    """Members."""


@dataclass(frozen=True, slots=True)
class Acting:
    """A person at the dashboard, and the account that is looked at."""

    user: User
    account: int
    rights: frozenset[Right]
    preferences: Preferences
    now: datetime
    """Of the whole request."""


class DashboardRequest(HttpRequest):
    acting: Acting


View = Callable[..., HttpResponseBase]


def dashboard_page(needs: Right = Right.SEE) -> Callable[[View], View]:
    """Wraps a view for who is logged in and has a right: `request.acting` says for which account.

    It answers in the person's language and time zone.
    """

    def wrap(view: View) -> View:
        @login_required
        @wraps(view)
        def answer(request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
            preferences = Preferences.of(request.user.pk)
            request.acting = Acting(request.user, request.user.pk, frozenset(Right), preferences, timezone.now())
            if needs not in request.acting.rights:
                raise PermissionDenied
            if preferences.language:
                translation.activate(preferences.language)
                request.LANGUAGE_CODE = translation.get_language()
            with timezone.override(preferences.zone):
                response = view(request, *args, **kwargs)
            response["Cache-Control"] = "no-store"
            return response

        return answer

    return wrap
