"""The language of a browser, chosen at the foot of a page; a person who is logged in keeps it."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import check_for_language
from django.views.i18n import set_language

from billing.models import Preferences


def choose(request: HttpRequest) -> HttpResponseBase:
    """Django's view, which checks where it leads back to."""
    language = request.POST.get("language", "")
    if request.method == "POST" and request.user.is_authenticated and check_for_language(language):
        Preferences.objects.update_or_create(user=request.user, defaults={"language": language})
    return set_language(request)
