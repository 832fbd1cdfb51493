"""Every code of a problem, explained once: for the page that a problem's `type` leads to, and the OpenAPI document.

Each domain has a module with its own. Within a status, the page has them in the order of PARTS.
"""

from __future__ import annotations

from itertools import chain
from typing import Final

from billing.http.error_codes.callers import OF_CALLERS
from billing.http.error_codes.code import ErrorCode
from billing.http.error_codes.limits import OF_LIMITS
from billing.http.error_codes.requests import OF_REQUESTS
from billing.http.error_codes.subscriptions import OF_SUBSCRIPTIONS
from billing.http.error_codes.upstream import OF_UPSTREAM
from billing.http.error_codes.usage import OF_USAGE
from billing.http.error_codes.webhooks import OF_WEBHOOKS

EXPLAINED_AT: Final = "/api/docs/errors"
"""Where the page is; a code is its anchor."""
QUOTA_EXCEEDED_TYPE: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"
"""Of every 429: a type that clients may know from elsewhere."""
UNEXPLAINED: Final = "about:blank"
"""Of a code that is not ours, such as a host product's."""

PARTS: Final = (OF_REQUESTS, OF_UPSTREAM, OF_SUBSCRIPTIONS, OF_CALLERS, OF_WEBHOOKS, OF_USAGE, OF_LIMITS)
ERRORS: Final[dict[str, ErrorCode]] = {error.code: error for error in chain.from_iterable(PARTS)}


def type_of(status: int, code: str) -> str:
    """The `type` of a problem: where it is explained."""
    if status == 429:
        return QUOTA_EXCEEDED_TYPE
    return f"{EXPLAINED_AT}#{code}" if code in ERRORS else UNEXPLAINED
