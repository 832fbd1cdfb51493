"""Whether a browser's request comes from a page of this site: asked before anything is charged."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware


class CsrfFailed(Exception):
    """A browser's request that changes something came without the session's CSRF token."""


def check_csrf(request: HttpRequest) -> None:
    """Raises CsrfFailed."""
    reason = _CsrfCheck(lambda _: None).process_view(request, None, (), {})  # type: ignore[arg-type]
    if reason is not None:
        raise CsrfFailed(str(reason))


class _CsrfCheck(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason
