"""What a page may load and run: scripts come from files of this site, so text that somebody typed never runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase

HEADER: Final = "Content-Security-Policy"
OURS: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# What libraries need beyond it. Styles in the page: Unfold's colours, htmx's indicator, the colours of REST framework's
# code and two attributes on its log-in page, Swagger UI's page. Functions made of text: Alpine, whose expressions stand
# in the attributes of Unfold's templates; they are more than its build for such a policy reads.
WITH_STYLES: Final = OURS.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
WITH_ALPINE: Final = WITH_STYLES.replace("script-src 'self'", "script-src 'self' 'unsafe-eval'")
OF_LIBRARIES: Final = (("/admin/", WITH_ALPINE), ("/api/", WITH_STYLES))
PERMISSIONS: Final = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


def content_security_policy(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: the policy of each page that has none of its own. What is no page, as most answers, has none."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            response.headers.setdefault("Permissions-Policy", PERMISSIONS)
            response.headers.setdefault(HEADER, policy_at(request.path_info))
        return response

    return answer


def policy_at(path: str) -> str:
    return next((policy for prefix, policy in OF_LIBRARIES if path.startswith(prefix)), OURS)
