"""What answers where nothing else does: a problem on the API, and pages dressed as those around them elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _

from billing.http import problems

API = {
    400: "The request could not be read.",
    403: "You may not do this.",
    404: "There is nothing at this path; /api/docs shows what there is.",
    500: "Something went wrong here. Tokens that the call took were given back.",
}
PAGES = {
    400: (_("This could not be read"), _("What was sent is not what this page asks for. Go back and try again.")),
    403: (_("You may not see this"), _("Your account lacks the right. Ask whoever gives rights here.")),
    404: (_("There is nothing here"), _("The address is wrong, or what was here is gone.")),
    429: (_("Too many tries"), _("Wait some minutes, and try it once more.")),
    500: (_("Something went wrong"), _("It is our fault and was noted. Try again in a minute.")),
}
"""Title, and what to do."""
NOT_SENT = _("The form was open for too long, or cookies are off. Go back, load the page anew and send it again.")


def handler(status: int) -> Callable[..., HttpResponse]:
    """One of Django's handler400 to handler500."""

    def answer(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
        if request.path_info.startswith("/api/"):
            return problems.respond(request, status, problems.CODE_OF_STATUS[status], API[status])
        title, text = PAGES[status]
        return _page(request, status, title, text)

    return answer


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Of a form whose token is missing or old."""
    return _page(request, 403, PAGES[403][0], NOT_SENT)


def too_many_tries(request: HttpRequest) -> HttpResponse:
    """What django-allauth answers to one sign-up, confirmation or reset too many."""
    return _page(request, 429, *PAGES[429])


def _page(request: HttpRequest, status: int, title: Any, text: Any) -> HttpResponse:
    about = {"title": title, "text": text, "status": status}
    if status < 500:
        try:
            return HttpResponse(_dressed(request, about), status=status)
        except Error:
            pass  # without the database nobody knows who asks
    # Asks neither the database nor who it is.
    name = "admin/errors/alone.html" if _is_admin(request) else "500.html"
    plain = _admin_look(request) if _is_admin(request) else {}
    return HttpResponse(render_to_string(name, {**plain, **about}), status=status)


def _dressed(request: HttpRequest, about: dict[str, Any]) -> str:
    if _is_admin(request) and admin.site.has_permission(request):
        return render_to_string("admin/errors/page.html", {**admin.site.each_context(request), **about}, request)
    return render_to_string(f"{about['status']}.html", about, request)


def _is_admin(request: HttpRequest) -> bool:
    return request.path_info.startswith("/admin")


def _admin_look(request: HttpRequest) -> dict[str, Any]:
    """Unfold's colours and styles, which its pages take from their context."""
    site: Any = admin.site
    return {
        "site_title": site._get_config("SITE_TITLE", request),
        "site_favicons": site._get_favicons("SITE_FAVICONS", request),
        "colors": site._get_colors("COLORS", request),
        "styles": site._get_list("STYLES", request),
    }
