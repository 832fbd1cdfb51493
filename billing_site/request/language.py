"""In which language a page answers: the customers' in theirs, all else in English."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

TRANSLATED: Final = ("/dashboard", "/accounts", "/admin/login", "/api/auth/login")


class PageLanguage(LocaleMiddleware):
    """Django's choice, by cookie and then by the browser's languages, for the pages that are translated."""

    def process_request(self, request: HttpRequest) -> None:
        if _is_translated(request):
            super().process_request(request)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if not _is_translated(request):
            return response
        answer: HttpResponseBase = super().process_response(request, response)
        translation.deactivate()  # the thread's next request may be of the API
        return answer


def _is_translated(request: HttpRequest) -> bool:
    return request.path_info == "/" or request.path_info.startswith(TRANSLATED)
