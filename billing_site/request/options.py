"""OPTIONS, which is not metered: who answers it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from billing.http.access import is_of_class


def answer(request: HttpRequest, view: Any) -> HttpResponse | None:
    """A bare 204 in place of a function, which may not look at the method and would do its work uncharged.

    None: the view answers. Of a class it is a method of its own, `options`.
    """
    return HttpResponse(status=204) if request.method == "OPTIONS" and not is_of_class(view) else None
