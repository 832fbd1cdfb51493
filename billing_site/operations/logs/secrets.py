"""Takes secrets out of what is about to be logged, whoever logs it: by how they look, by what stands before them, and
the site's own by their values.

It is the last step before a line is written, so it sees messages with their arguments and tracebacks. What is shown of
an API key is its prefix, as on the pages: it names the key, and nobody gets in by it.
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import Final
from urllib.parse import unquote, urlsplit

from django.conf import settings

SECRET: Final = "[secret]"
SHORTEST: Final = 8
"""Own secrets that are shorter are words that stand in many a line, such as those of tests; they protect nothing."""
LONGEST: Final = 64_000
"""Characters of one message or traceback; whoever sends megabytes shall not fill a disk."""
OWN: Final = (
    "SECRET_KEY",
    "SECRET_KEY_FALLBACKS",
    "METRICS_TOKEN",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
    "AGENT_UPSTREAM_KEY",
    "CHAIN_RPC_URLS",
)
"""Variables whose values, or parts between commas, are secrets."""
WITH_PASSWORDS: Final = ("DATABASE_URL", "REDIS_URL", "CACHE_URL", "BROKER_URL", "EMAIL_URL")
_NAMES: Final = (
    r"[\w-]*password\d?|passwd|pwd|[\w-]*secret|[\w-]*token|api[_-]?key|x-api-key|session_?id|csrf[\w-]*"
    r"|[\w-]*signature|private[_-]?key|pgpassword"
)
_PATTERNS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    # Headers: a cookie's whole line, the value of an Authorization whatever its scheme, or without one.
    (re.compile(r"""(?i)\b((?:set-)?cookie|http_cookie)(["']?\s*[:=]\s*+)(?!\[secret\])[^\r\n]+"""), rf"\1\2{SECRET}"),
    (re.compile(r"""(?i)\b((?:proxy-|http_)?authorization["']?\s*[:=]\s*["']?)[^"'\r\n]+"""), rf"\1{SECRET}"),
    (re.compile(r"(?i)\b(bearer|basic)(\s+)(?=[\w+/=.~-]{8,})[^\s\"',;<>]+"), rf"\1\2{SECRET}"),
    # API keys: whatever stands before, eight letters that name it, a dot, and the secret.
    (re.compile(r"([A-Za-z0-9_-]{0,20}[A-Za-z0-9]{8})(?:\.|%2[eE])[A-Za-z0-9]{24,}"), rf"\1.{SECRET}"),
    # What other makers' secrets begin with.
    (re.compile(r"\b((?:sk|rk)_(?:live|test)_|whsec_|xprv|sk-)[A-Za-z0-9+/=_-]{6,}"), rf"\1{SECRET}"),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*"), SECRET),
    # URLs: passwords, and paths of ours that let in whoever has them.
    (re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s/:@?#]*:)[^\s/]+@"), rf"\1{SECRET}@"),
    (
        re.compile(r"(/(?:password/reset/key|confirm-email|members/join|unsubscribe)/)(?!\[secret\])[^\s/?\"']+"),
        rf"\1{SECRET}",
    ),
    # Anything that is named as a secret: in queries, forms, JSON (in JSON), connection strings.
    (
        re.compile(
            rf"""(?i)(?<![\w-])((?:{_NAMES})\\?["']?\s*(?:=|:\s*(?=\\?["']))\s*)(?!\[secret\])"""
            r"""(?:\\?"[^"\r\n]*"|\\?'[^'\r\n]*'|[^\s"'&,;<>]+)"""
        ),
        rf"\1{SECRET}",
    ),
)


def without_secrets(text: str) -> str:
    """The text as it may be written: without secrets, and no longer than LONGEST."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}… ({len(text)} characters)"
    for value in own():
        if value in text:
            text = text.replace(value, SECRET)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def own() -> tuple[str, ...]:
    """The site's own secrets as they are, longest first, so that none leaves a part of another."""
    return _own(settings.configured)


@cache
def _own(with_settings: bool) -> tuple[str, ...]:
    found = {part.partition("=")[2] or part for name in OWN for part in os.environ.get(name, "").split(",")}
    found |= {os.environ.get(name, "") for name in OWN}
    for name in WITH_PASSWORDS:
        password = urlsplit(os.environ.get(name, "")).password or ""
        found |= {password, unquote(password)}
    if with_settings:  # a key that is made for embedded engines is in no variable
        found |= {str(settings.SECRET_KEY), *settings.SECRET_KEY_FALLBACKS}
    return tuple(sorted((value for value in found if len(value) >= SHORTEST), key=len, reverse=True))
