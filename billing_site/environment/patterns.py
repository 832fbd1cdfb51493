"""What texts in environment variables have to look like."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Pattern:
    """What a text has to look like, and the words for it."""

    pattern: re.Pattern[str]
    meaning: str


HOST = Pattern(
    re.compile(r"\*|\.?[\w-]+(\.[\w-]+)*|\[[0-9a-fA-F:.]+\]", re.ASCII),
    "names or addresses of hosts without scheme and port, separated by commas",
)
ORIGIN = Pattern(
    re.compile(r"https?://(\*\.)?([\w-]+(\.[\w-]+)*|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", re.ASCII),
    "origins such as https://example.com, separated by commas",
)
EXACT_ORIGIN = Pattern(
    re.compile(r"https?://([\w-]+(\.[\w-]+)*|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", re.ASCII),
    "origins such as https://example.com, without wildcards, separated by commas",
)
HEADER = Pattern(re.compile(r"[A-Za-z0-9]+(-[A-Za-z0-9]+)*"), "the name of a header, such as X-Real-IP")
CALLABLE = Pattern(re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+"), "the path of a callable, such as shop.tokens.account_of")
TOKEN = Pattern(re.compile(r"[!-~]+"), "printable ASCII without spaces")
CURRENCY = Pattern(re.compile(r"[A-Z]{3}"), "currencies and whole numbers such as HUF=5000000, separated by commas")
DAY = Pattern(re.compile(r"[1-9][0-9]{0,2}"), "whole numbers of days from 1 to 999, separated by commas")
KEY_PREFIX = Pattern(re.compile(r"[A-Za-z0-9_-]{1,20}", re.ASCII), "up to 20 letters, digits, - and _")
SENDER = Pattern(
    re.compile(r"[^<>@\r\n]*<[^\s<>@]+@[^\s<>@]+>|[^\s<>@]+@[^\s<>@]+"),
    "an address such as billing@example.com, or Example <billing@example.com>",
)
SITE = Pattern(
    re.compile(r"https?://([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?", re.ASCII), "an origin such as https://example.com"
)
RPC_URL = Pattern(re.compile(r"https?://[^\s,]+"), "the http(s) address of a node each")
UPSTREAM = Pattern(re.compile(r"https?://[^\s@#]+"), "an http(s) address such as https://example.com/v1")
XPUB = Pattern(re.compile(r"[A-Za-z0-9]+", re.ASCII), "an extended public key each (xpub…)")
SECRET = Pattern(re.compile(r".*\S.*", re.DOTALL), "a long random string")
