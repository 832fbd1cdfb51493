"""Who looks at which account: every view of the dashboard is wrapped here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.csrf import rotate_token
from django.shortcuts import redirect
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from billing.members.rights import RIGHTS, Right
from billing.models import Member, Preferences
from billing.outbox import actor
from billing.outbox.actor import acting_as
from billing.users import User

ACCOUNT: Final = "account"
"""In the session: which account a member acts for; the own one where it is missing."""


@dataclass(frozen=True, slots=True)
class Acting:
    """A person at the dashboard, and the account that is looked at."""

    user: User
    account: int
    owner: User
    """Whose account it is."""
    rights: frozenset[Right]
    preferences: Preferences
    now: datetime
    """Of the whole request."""
    memberships: tuple[Member, ...]


class DashboardRequest(HttpRequest):
    acting: Acting


View = Callable[..., HttpResponseBase]


def dashboard_page(needs: Right = Right.SEE) -> Callable[[View], View]:
    """Wraps a view for who is logged in and has a right: `request.acting` says for which account.

    It answers in the person's language and time zone. A member who is none any more is back at the own account,
    where nothing is done that was meant for the other one.
    """

    def wrap(view: View) -> View:
        @login_required
        @wraps(view)
        def answer(request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
            preferences = Preferences.of_user(request.user)
            was_at = request.session.get(ACCOUNT)
            request.acting = _acting(request, preferences)
            has_lost = was_at != request.session.get(ACCOUNT)
            if preferences.language:
                translation.activate(preferences.language)
                request.LANGUAGE_CODE = translation.get_language()
            if has_lost:
                messages.warning(request, _("You are no member of that account any more. This is your own."))
                if request.method not in ("GET", "HEAD"):  # it was meant for that account
                    return redirect("dashboard")
            if needs not in request.acting.rights:
                raise PermissionDenied
            with timezone.override(preferences.zone), acting_as(actor.user(request.user.pk)):
                response = view(request, *args, **kwargs)
            response["Cache-Control"] = "no-store"
            return response

        answer.needs = needs  # type: ignore[attr-defined]
        return answer

    return wrap


def choose_account(request: HttpRequest, account: int) -> None:
    """Act for it from the next request on. No form drawn before is taken then: it was about another account."""
    if account == request.user.pk:
        request.session.pop(ACCOUNT, None)
    else:
        request.session[ACCOUNT] = account
    rotate_token(request)


def _acting(request: Any, preferences: Preferences) -> Acting:
    user, now = request.user, timezone.now()
    account, members = request.session.get(ACCOUNT, user.pk), memberships(user.pk)
    for member in members:
        if member.account_id == account:
            return Acting(user, account, member.account, RIGHTS[member.role], preferences, now, members)
    if account != user.pk:
        choose_account(request, user.pk)
    return Acting(user, user.pk, user, frozenset(Right), preferences, now, members)


def memberships(user: int) -> tuple[Member, ...]:
    """Of the accounts of others that a user acts for, each with its account."""
    return tuple(Member.objects.filter(user=user, account__is_active=True).select_related("account"))
